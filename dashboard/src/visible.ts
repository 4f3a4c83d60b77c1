// Characters that nobody sees, made visible: controls, those that turn the direction of text
// around, and those without width. "00001 €" must not be shown as "10000 €".
//
// The ranges are those of outlast/cli/shown.py; a test compares them.

const HIDDEN =
  '\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5' +
  '\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ud800-\\udfff' +
  '\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}' +
  '\\u{e0000}-\\u{e0fff}'
// In a picture that is made of several characters, these are no riddle.
const PICTURE = '\\u00a9\\u00ae\\u203c-\\u3299\\u{1f000}-\\u{1faff}'
const ALLOWED = `(?<=[${PICTURE}])[\\ufe0e\\ufe0f]|(?<=[${PICTURE}\\ufe0f])\\u200d(?=[${PICTURE}])|\\r(?=\\n)`

const ONE = new RegExp(`(?!${ALLOWED})[${HIDDEN}]`, 'u')
const EACH = new RegExp(ONE.source, 'gu')

const NAMES: { [code: number]: string } = {
  0x00ad: 'soft hyphen',
  0x061c: 'Arabic letter mark',
  0x200b: 'zero width space',
  0x200c: 'zero width non-joiner',
  0x200d: 'zero width joiner',
  0x200e: 'left-to-right mark',
  0x200f: 'right-to-left mark',
  0x202a: 'left-to-right embedding',
  0x202b: 'right-to-left embedding',
  0x202c: 'end of embedding or override',
  0x202d: 'left-to-right override',
  0x202e: 'right-to-left override',
  0x2066: 'left-to-right isolate',
  0x2067: 'right-to-left isolate',
  0x2068: 'first strong isolate',
  0x2069: 'end of isolate',
  0xfeff: 'byte order mark',
}

export function hasHidden(text: string): boolean {
  return ONE.test(text)
}

function numbered(code: number): string {
  return 'U+' + code.toString(16).toUpperCase().padStart(4, '0')
}

/** What is said of a character when one points at it. */
export function nameOf(char: string): string {
  const code = char.codePointAt(0) ?? 0
  return `${NAMES[code] ?? 'invisible character'}, ${numbered(code)}`
}

/** The text in pieces: each hidden character is one of its own, marked. */
export function pieces(text: string): { text: string; isHidden: boolean }[] {
  const found: { text: string; isHidden: boolean }[] = []
  let from = 0
  for (const match of text.matchAll(EACH)) {
    if (match.index > from) found.push({ text: text.slice(from, match.index), isHidden: false })
    found.push({ text: match[0], isHidden: true })
    from = match.index + match[0].length
  }
  if (from < text.length) found.push({ text: text.slice(from), isHidden: false })
  return found
}

/** The text with its hidden characters named, where nothing but text can stand. */
export function visible(text: string): string {
  if (!hasHidden(text)) return text
  return text.replace(EACH, (char) => `⟨${numbered(char.codePointAt(0) ?? 0)}⟩`)
}

/** JSON text with its hidden characters escaped: it means the same. */
export function escaped(json: string): string {
  if (!hasHidden(json)) return json
  return json.replace(EACH, (char) =>
    [...Array(char.length).keys()]
      .map((index) => '\\u' + char.charCodeAt(index).toString(16).padStart(4, '0'))
      .join(''),
  )
}
