import { execFileSync } from 'node:child_process'
import { copyFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './bench.ts'

/** Compiles the sources into `home`, as an image holds them. Returns the program's file. */
export function buildInto(home: string): string {
  const tsc = join(ROOT, 'node_modules/.bin/tsc')
  const project = join(ROOT, 'tsconfig.build.json')
  execFileSync(tsc, ['-p', project, '--noCheck', '--outDir', join(home, 'dist')], { stdio: 'inherit' })
  copyFileSync(join(ROOT, 'package.json'), join(home, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'))
  return join(home, 'dist/cli/main.js')
}
