import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'

const ROOT = join(import.meta.dirname, '..')
const bin = mkdtempSync(join(tmpdir(), 'midflight-bin-'))
afterAll(() => rmSync(bin, { recursive: true, force: true }))

/** With only what is in `bin` on the PATH. */
function image(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, 'scripts/image/main.ts'), ...args], {
    encoding: 'utf8',
    env: { PATH: bin },
  })
  return { code: status, output: stdout + stderr }
}

describe('npm run image', () => {
  test('explains itself', () => {
    const { code, output } = image('--help')
    expect(code).toBe(0)
    expect(output).toContain('npm run image -- --tag NAME [--base IMAGE]')
  })

  test('asks for the name that is missing', () => {
    expect(image()).toEqual({ code: 1, output: 'image: name the image: npm run image -- --tag NAME\n' })
  })

  test('names what could build an image where nothing does: a client without its engine does not', () => {
    writeFileSync(join(bin, 'docker'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
    const { code, output } = image('--tag', 'midflight:test')
    expect(code).toBe(1)
    expect(output).toMatch(/^image: .*docker \(with its engine running\), podman or buildah, and none of them works\n$/)
  })
})
