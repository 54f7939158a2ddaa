// Everything that can be found without running the tests: types, lint and format, generated files.
// Every step runs, whatever became of the ones before it.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const bin = (name: string) => join(ROOT, 'node_modules', '.bin', name)

const STEPS = [
  { name: 'types', command: bin('tsc'), args: ['-p', '.'] },
  { name: 'lint and format', command: bin('biome'), args: ['check', '--error-on-warnings'] },
  { name: 'generated files', command: process.execPath, args: [join(ROOT, 'scripts', 'gen.ts'), '--check'] },
]

const failed = STEPS.filter(({ name, command, args }) => {
  console.log(`\n== ${name}`)
  return spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' }).status !== 0
})

console.log(failed.length === 0 ? '\ncheck: ok' : `\ncheck: failed: ${failed.map(({ name }) => name).join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
