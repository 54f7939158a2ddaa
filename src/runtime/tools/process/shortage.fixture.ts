import { closeSync, openSync } from 'node:fs'
import { MemoryWatch } from './host/memory.ts'
import { toolOf, triedHost } from './process.fixture.ts'

// A runtime that runs out of file descriptors, and gets them back: prints what its loads say. Nothing may be thrown that
// nobody catches.

const load = (n: number) =>
  tried.load({ 'tools/a.ts': toolOf(`() => ${n}`) }).then(
    () => 'loaded',
    (error) => error.problem,
  )
const tried = triedHost()
const said = [await load(1)]
await tried.host.ready()
const files: number[] = []
try {
  for (;;) files.push(openSync('/dev/null', 'r'))
} catch {
  // There are no more.
}
// The first takes the warm host.
said.push(await load(2))
await tried.host.ready()
said.push(await load(3))
const memory = new MemoryWatch()
const over = new Promise<string>((resolve) =>
  memory.add({ pid: process.pid, limitBytes: 1, over: () => resolve('watched'), crowds: () => undefined }),
)
for (const file of files) closeSync(file)
said.push(await load(4), await over)
await tried.close()
process.stdout.write(JSON.stringify(said))
