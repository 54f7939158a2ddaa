#!/usr/bin/env node
// Syntax that an old Node reads too, so that it gets as far as the message.
import { existsSync } from 'node:fs'

const major = Number(process.versions.node.split('.')[0])
const built = new URL('../dist/cli/main.js', import.meta.url)
// A checkout that was not built runs from its sources.
const main = existsSync(built) ? built : new URL('../src/cli/main.ts', import.meta.url)

if (major < 24) {
  console.error(`midflight needs Node 24 or later, this is ${process.version}`)
  process.exitCode = 1
} else {
  import(main.href)
}
