import { expect, test } from '@jest/globals'
import { describeNode, useOnNode } from './harness/index.ts'
import { describeFailures } from './support/load.ts'
import { openSite } from './support/site.ts'
import { storm } from './support/storm.ts'

const MANY = 20
const LOAD = { perSecond: 60, seconds: 30, many: MANY }

describeNode('under steady load', () => {
  const [, site] = useOnNode((on) => openSite(on, { replicas: 3, many: MANY }))

  test('no run fails and no stream breaks while agents change, a bundle breaks, pods roll and the operator restarts', async () => {
    const { runs, failures, long, steps, lagMs } = await storm(site(), LOAD)
    process.stdout.write(
      `${runs} runs and ${long.runs} long ones, ${lagMs} ms late at most: ${JSON.stringify(steps)}\n`,
    )
    expect(runs).toBeGreaterThanOrEqual(LOAD.perSecond * LOAD.seconds)
    expect(describeFailures(failures)).toBe('')
    expect(long.broken).toEqual([])
  })
})
