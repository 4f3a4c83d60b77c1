import assert from 'node:assert/strict'
import test from 'node:test'

import { blocksOf } from '../src/traceback.ts'

const TRACEBACK = `Traceback (most recent call last):
  File "/opt/venv/lib/python3.12/site-packages/outlast/_execution/bodies.py", line 9, in call
    return fn()
  File "/srv/shop/app.py", line 10, in charge
    return client.post(url)
           ^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.12/site-packages/httpx/_client.py", line 1, in post
    return self.send()
  File "/usr/lib/python3.12/socket.py", line 2, in connect
    raise error
OSError: no route
to the host

Which led to:

Traceback (most recent call last):
  File "/srv/shop/app.py", line 12, in charge
    raise Refused() from error
Refused
`

test('frames of libraries are apart from one\u2019s own, errors stand by themselves', () => {
  const shown = blocksOf(TRACEBACK).map((block) =>
    block.kind === 'text' ? [block.isError ? 'error' : 'text', block.text] : [block.isLibrary ? 'library' : 'own', ...block.frames.map((it) => `${it.line} ${it.name} ${it.code}`)],
  )
  assert.deepEqual(shown, [
    ['library', '9 call return fn()'],
    ['own', '10 charge return client.post(url)'],
    ['library', '1 post return self.send()', '2 connect raise error'],
    ['error', 'OSError: no route\nto the host'],
    ['text', 'Which led to:'],
    ['own', '12 charge raise Refused() from error'],
    ['error', 'Refused'],
  ])
})

test('a text without frames is a text', () => {
  assert.deepEqual(blocksOf('nothing'), [{ kind: 'text', text: 'nothing', isError: false }])
})
