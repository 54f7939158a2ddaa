import { afterAll, beforeAll, describe, jest, test } from '@jest/globals'
import { clusterBinaries } from './binaries.ts'
import { type Cluster, type ClusterOptions, startCluster } from './cluster.ts'

/** Per test and per hook: starting a cluster takes seconds on a busy machine. */
const TIMEOUT_MS = 60_000

/**
 * `describe` for what needs a real API server, with 60 s for each test and hook of the file. Where
 * `npm run setup:cluster` has not run the suite is skipped, with one line on stderr; with CI=true it fails.
 */
export function describeCluster(name: string, body: () => void): void {
  if (clusterBinaries() !== undefined) {
    jest.setTimeout(TIMEOUT_MS)
    describe(name, body)
    return
  }
  const why = `${name}: needs a real API server, which npm run setup:cluster builds`
  if (process.env.CI === 'true') {
    describe(name, () => {
      test('has the programs of a cluster', () => {
        throw new Error(why)
      })
    })
    return
  }
  process.stderr.write(`skipped: ${why}\n`)
  describe.skip(name, body)
}

/**
 * One cluster for all tests of the surrounding `describe`, ended after them.
 * @returns what gives the cluster, from the tests and later hooks on
 */
export function useCluster(options: ClusterOptions = {}): () => Cluster {
  let cluster: Cluster | undefined
  beforeAll(async () => {
    cluster = await startCluster(options)
  })
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]()
  })
  return () => {
    if (cluster === undefined) throw new Error('the cluster is started before the tests, not while they are described')
    return cluster
  }
}
