import { readFileSync } from 'node:fs'
import { join } from 'node:path'
// biome-ignore lint/correctness/noUndeclaredDependencies: jest brings its environments
import { TestEnvironment } from 'jest-environment-node'
import { keepEvidence } from '../../test/cluster/harness/evidence.ts'

/** Node's environment that keeps, of a test that fails, what the cluster was like at that moment. */
export default class extends TestEnvironment {
  async handleTestEvent(event) {
    if (event.name !== 'test_done' || event.test.errors.length === 0) return
    const folder = await keepEvidence(event.test.name)
    if (folder === undefined) return
    process.stderr.write(`evidence of "${event.test.name}": ${folder}\n`)
    // Where the machine goes with its files, this much is in the log.
    if (process.env.CI === 'true') process.stderr.write(readFileSync(join(folder, 'pods.txt'), 'utf8'))
  }
}
