// Fails the build when the dashboard's script grows beyond what a page may cost.

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const SCRIPT_KIB_MAX = 120
const folder = fileURLToPath(new URL('../src/outlast/_server/static/assets/', import.meta.url))

let total = 0
for (const name of readdirSync(folder).sort()) {
  if (!name.endsWith('.js')) continue
  const bytes = gzipSync(readFileSync(folder + name), { level: 9 }).length
  total += bytes
  console.log(`${(bytes / 1024).toFixed(1).padStart(7)} KiB  ${name}`)
}
console.log(`${(total / 1024).toFixed(1).padStart(7)} KiB  of script in all, compressed`)
if (total > SCRIPT_KIB_MAX * 1024) {
  console.error(`The script is larger than ${SCRIPT_KIB_MAX} KiB: split or drop something.`)
  process.exit(1)
}
