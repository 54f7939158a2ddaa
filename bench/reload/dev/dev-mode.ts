import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { QUICKSTART } from '../../lib/bench.ts'
import { startMidflight } from '../../lib/midflight.ts'
import { seededRandom } from '../../lib/random.ts'
import type { Part } from '../part.ts'
import { badSavesReport, measureBadSaves } from './bad-saves.ts'
import { latencyReport, measureLatency } from './latency.ts'
import { subjectsIn } from './subjects.ts'

/** How soon a saved prompt or tool serves in dev mode, and that a bad one never does. */
export const devMode: Part = {
  name: 'dev mode',
  measure: async (setup) => {
    const directory = join(setup.home, 'quickstart')
    await cp(QUICKSTART, directory, { recursive: true })
    const midflight = await startMidflight(setup.processes, ['dev', directory])
    const random = seededRandom(1)
    const subjects = subjectsIn(directory)
    const latency = latencyReport(await measureLatency(setup, midflight, subjects, random))
    const found = await measureBadSaves(setup, midflight, subjects, random)
    const bad = badSavesReport(found)
    await midflight.child.stop()
    return {
      targets: [...latency.targets, ...bad.targets],
      tables: [latency.table, bad.table],
      data: { latency: latency.data, badSaves: found },
    }
  },
}
