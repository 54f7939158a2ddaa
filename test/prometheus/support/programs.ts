import { execFile } from 'node:child_process'
import { describe, jest, test } from '@jest/globals'
import { hasPrometheus, prometheusPath } from '../../../scripts/setup-cluster/prometheus.ts'

/**
 * `describe` for what needs Prometheus or promtool, with 60 s for each test and hook of the file. Where
 * `npm run setup:cluster -- --node` has not brought them the suite is skipped, with one line on stderr; with CI=true it
 * fails.
 */
export function describePrometheus(name: string, body: () => void): void {
  if (hasPrometheus()) {
    jest.setTimeout(60_000)
    describe(name, body)
    return
  }
  const why = `${name}: needs Prometheus, which npm run setup:cluster -- --node unpacks`
  if (process.env.CI === 'true') {
    describe(name, () => {
      test('has Prometheus', () => {
        throw new Error(why)
      })
    })
    return
  }
  process.stderr.write(`skipped: ${why}\n`)
  describe.skip(name, body)
}

/** @returns what it wrote. @throws Error with that where it fails */
export function promtool(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(prometheusPath('promtool'), args, (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr)
      else reject(new Error(`promtool ${args.slice(0, 2).join(' ')}: ${stdout}${stderr}`))
    })
  })
}
