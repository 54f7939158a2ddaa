import { readFileSync } from 'node:fs'
import { type CheckResult, connectTo, runConformance } from '../operator/conformance/index.ts'
import { type ConformanceConfig, UsageError } from './config.ts'
import { type Io, plural } from './io.ts'

/** Runs the conformance suite against an endpoint. @returns 0 when every check passed, else 1 */
export async function conformance(config: ConformanceConfig, io: Io): Promise<number> {
  const { url, tokenFile, caFile, serverName, force, json } = config
  if (tokenFile === undefined) throw new UsageError('--token-file is missing: name the file with the runtime’s token')
  const token = readText('--token-file', tokenFile).trim()
  if (token === '') throw new UsageError(`--token-file ${tokenFile} is empty: put the token into it`)
  const ca = caFile === undefined ? undefined : readText('--ca-file', caFile)
  const client = connectTo({ url, token, ca, serverName })
  const results: CheckResult[] = []
  try {
    for await (const result of runConformance(client, { force })) {
      results.push(result)
      if (!json) io.stdout.write(`${lineOf(result)}\n`)
      if (io.signal.aborted) break
    }
  } finally {
    await client.close()
  }
  const failed = results.filter(({ ok }) => !ok).length
  if (json)
    io.stdout.write(`${JSON.stringify({ url, passed: results.length - failed, failed, checks: results }, null, 2)}\n`)
  else io.stdout.write(`${plural(results.length, 'check')}, ${failed} failed\n`)
  return failed === 0 && !io.signal.aborted ? 0 : 1
}

const lineOf = (result: CheckResult): string =>
  result.ok ? `ok    ${result.name}` : `FAIL  ${result.name}\n      ${result.expected}`

function readText(flag: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`${flag} ${file} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
}
