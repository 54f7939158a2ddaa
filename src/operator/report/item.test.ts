import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type ItemStatus, itemStatus, type Problem } from '../../api/index.ts'
import type { PodView, RuntimeView } from '../ports.ts'
import { type ItemInput, reportItem } from './item.ts'
import { parseItemStatus } from './parse.ts'
import {
  conditionsIn,
  FILES,
  hash,
  ID,
  itemInput,
  messageOf,
  NEW,
  NOW,
  OLD,
  pod,
  SETTINGS,
  SILENT,
  serves,
  strange,
  view,
  written,
} from './report.fixture.ts'

const BROKEN: Problem = {
  reason: 'InvalidSyntax',
  message: 'tools/w.ts: broken',
  file: 'tools/w.ts',
  line: 3,
  column: 9,
}
const NO_TOOL: Problem = { reason: 'ToolNotFound', message: 'spec.tools[0]: no tool "w"', path: 'spec.tools[0]' }
const NO_TOKEN: Problem = { reason: 'SecretNotFound', message: 'spec.adopt.tokenSecretRef: no Secret "management"' }
const CYCLE: Problem = { reason: 'ReferenceCycle', message: 'spec.agents[0]: calls itself', path: 'spec.agents[0]' }
const REFUSES = serves(OLD, { candidate: { revision: NEW, outcome: 'rejected', error: BROKEN } })
const WAITS = serves(OLD, { candidate: { revision: NEW, outcome: 'pending', error: NO_TOOL } })
const THREE = [pod('a'), pod('b'), pod('c')]
const olds = () => ['a', 'b', 'c'].map((name) => pod(name, { item: serves(OLD) }))
const refusers = () => ['a', 'b', 'c'].map((name) => pod(name, { item: REFUSES }))
const report = (runtime: RuntimeView | undefined, extra: Partial<ItemInput> = {}) =>
  reportItem(itemInput(runtime, extra))
const statusOf = (runtime: RuntimeView | undefined, extra: Partial<ItemInput> = {}) => written(report(runtime, extra))
const verdict = (unit: string, revision: string) => new Map([[unit, { revision, failures: [{ ...BROKEN, pod: 'b' }] }]])
const refused = { type: 'refused' as const, problems: [CYCLE] }
const before = statusOf(view(THREE))

/** Current, InProgress, Failed or Terminating, by kstatus's published rules. */
function kstatus(generation: number, { observedGeneration, conditions = [] }: ItemStatus, deletionTimestamp?: string) {
  const is = (type: string) => conditions.find((condition) => condition.type === type)?.status
  if (deletionTimestamp !== undefined) return 'Terminating'
  if (observedGeneration !== undefined && observedGeneration !== generation) return 'InProgress'
  if (is('Reconciling') === 'True') return 'InProgress'
  if (is('Stalled') === 'True') return 'Failed'
  return is('Ready') === 'True' ? 'Current' : 'InProgress'
}

const ROWS: readonly [string, RuntimeView | undefined, Partial<ItemInput>, string, string][] = [
  ['every counted pod serves it', view(THREE), {}, 'Accepted Ready=Served Available', 'Current'],
  ['a sync takes long', view(olds()), {}, 'Accepted !Ready=Syncing Available Reconciling', 'InProgress'],
  ['pods refuse it', view(refusers()), {}, 'Accepted !Ready=InvalidSyntax Available Stalled', 'Failed'],
  [
    'a check refused it on one pod',
    view(olds(), { verdicts: verdict(ID, NEW) }),
    {},
    'Accepted !Ready=InvalidSyntax Available Stalled',
    'Failed',
  ],
  [
    'a reference is missing',
    view([pod('a', { item: WAITS })]),
    {},
    'Accepted !Ready=ToolNotFound Available Reconciling',
    'InProgress',
  ],
  [
    'a reference is missing and nothing served yet',
    view([pod('a', { item: { candidate: { revision: NEW, outcome: 'pending', error: NO_TOOL } } })]),
    {},
    'Accepted !Ready=ToolNotFound !Available Reconciling',
    'InProgress',
  ],
  [
    'the spec is impossible',
    view(olds()),
    { item: refused },
    '!Accepted !Ready=ReferenceCycle Available Stalled',
    'Failed',
  ],
  ['there is no AgentRuntime', undefined, {}, 'Accepted !Ready=RuntimeNotFound !Available Reconciling', 'InProgress'],
  [
    'the AgentRuntime went while it served',
    undefined,
    { previous: before },
    'Accepted !Ready=RuntimeNotFound Available Reconciling',
    'InProgress',
  ],
  ['no pod is selected', view([]), {}, 'Accepted !Ready=PodsNotFound !Available Reconciling', 'InProgress'],
  [
    'no pod is Ready',
    view([pod('a', { isReady: false })]),
    {},
    'Accepted !Ready=PodsNotReady !Available Reconciling',
    'InProgress',
  ],
  [
    'no pod has been given everything',
    view([pod('a', { complete: false })]),
    {},
    'Accepted !Ready=PodsNotReady !Available Reconciling',
    'InProgress',
  ],
  [
    'an older AgentRuntime has all its pods',
    view([], { claimedPods: ['a'] }),
    {},
    'Accepted !Ready=PodsClaimed !Available Reconciling',
    'InProgress',
  ],
  [
    'every Ready pod refuses the operator’s token',
    view([strange('a', { type: 'unreachable', problem: { reason: 'Unauthorized', message: 'wrong token' } })]),
    {},
    'Accepted !Ready=Unauthorized !Available Reconciling',
    'InProgress',
  ],
  [
    'what it takes to call its pods is missing',
    view([], { problem: NO_TOKEN }),
    {},
    'Accepted !Ready=SecretNotFound !Available Reconciling',
    'InProgress',
  ],
  [
    'what it takes to call its pods went while they served',
    view(THREE, { problem: NO_TOKEN }),
    {},
    'Accepted Ready=Served Available',
    'Current',
  ],
  [
    'a pod that lacks it does not answer',
    view([pod('a'), pod('b', { item: serves(OLD), link: SILENT })]),
    {},
    'Accepted !Ready=RuntimeUnreachable Available Reconciling',
    'InProgress',
  ],
  [
    'a pod that has it does not answer',
    view([pod('a'), pod('b', { link: SILENT })]),
    {},
    'Accepted Ready=Served Available',
    'Current',
  ],
  [
    'a pod still has a candidate of before',
    view([pod('a', { item: serves(NEW, { candidate: { revision: OLD, outcome: 'rejected', error: BROKEN } }) })]),
    {},
    'Accepted !Ready=Syncing Available Reconciling',
    'InProgress',
  ],
  [
    'the settings are of before',
    view([pod('a', { settings: serves(OLD) })]),
    {},
    'Accepted !Ready=Syncing Available Reconciling',
    'InProgress',
  ],
  [
    'the settings are refused',
    view([pod('a', { settings: serves(OLD) })], { verdicts: verdict('settings', SETTINGS) }),
    {},
    'Accepted !Ready=InvalidSyntax Available Stalled',
    'Failed',
  ],
  [
    'the AgentRuntime is impossible as declared',
    view(THREE, { settings: undefined }),
    {},
    'Accepted Ready=Served Available',
    'Current',
  ],
  [
    'a bundle that it uses is refused by a pod',
    view([pod('a', { files: { active: OLD, candidate: { hash: FILES, outcome: 'rejected', error: BROKEN } } })]),
    {},
    'Accepted !Ready=InvalidSyntax Available Stalled',
    'Failed',
  ],
  [
    'a bundle that it uses is refused by a check',
    view([pod('a', { files: { active: OLD } })], { verdicts: verdict('bundle/files', FILES) }),
    {},
    'Accepted !Ready=InvalidSyntax Available Stalled',
    'Failed',
  ],
  [
    'a bundle that it uses has no ConfigMap',
    view([pod('a')], {
      bundles: new Map([['files', { configMap: 'f', problem: { reason: 'ConfigMapNotFound', message: 'none' } }]]),
    }),
    {},
    'Accepted !Ready=ConfigMapNotFound Available Reconciling',
    'InProgress',
  ],
]

describe('the truth table', () => {
  test.each(ROWS)('%s', (...[, runtime, extra, conditions, expected]) => {
    const status = statusOf(runtime, extra)
    expect(conditionsIn(status)).toBe(conditions)
    expect(kstatus(2, status)).toBe(expected)
    expect(itemStatus.parse(status)).toEqual(status)
  })

  test('a status of an older generation is InProgress, a deleted object Terminating', () => {
    expect(kstatus(3, before)).toBe('InProgress')
    expect(kstatus(2, before, NOW)).toBe('Terminating')
  })
})

describe('what does not count', () => {
  test.each<[string, PodView]>([
    ['a pod that joins', pod('z', { complete: false, item: {} })],
    ['a pod that leaves', pod('z', { isReady: false, item: serves(OLD) })],
    ['a pod whose state is not known', strange('z')],
  ])('%s leaves Ready as it is', (_what, joining) => {
    const status = statusOf(view([...THREE, joining]))
    expect([conditionsIn(status), status.pods?.summary]).toEqual(['Accepted Ready=Served Available', '3/4'])
  })

  test('a pod that callers reach and that this operator has never had an answer from is in the way', () => {
    const status = statusOf(view([...THREE, strange('z', SILENT)]))
    expect(conditionsIn(status)).toBe('Accepted !Ready=RuntimeUnreachable Available Reconciling')
    expect(messageOf(status)).toContain('1 of 4 pods have not acknowledged')
    expect([status.digest, status.pods?.summary]).toEqual([undefined, '3/4'])
    const leaving = { ...strange('z', SILENT), isReady: false }
    expect(conditionsIn(statusOf(view([...THREE, leaving])))).toBe('Accepted Ready=Served Available')
  })

  test('a refused bundle leaves items alone that do not use it', () => {
    const alone = pod('a', {
      item: { active: { revision: NEW, digest: hash('d') } },
      files: { active: OLD, candidate: { hash: FILES, outcome: 'rejected', error: BROKEN } },
    })
    expect(conditionsIn(statusOf(view([alone])))).toBe('Accepted Ready=Served Available')
  })

  test('a verdict on another revision is no verdict on this one', () => {
    expect(messageOf(statusOf(view(olds(), { verdicts: verdict(ID, OLD) })))).toContain('0 of 3 pods serve')
  })
})

describe('revisions', () => {
  test('the digest is what all counted pods report, and absent while they differ', () => {
    expect(before.digest).toBe(hash('dbee1000'))
    expect(statusOf(view([pod('a'), pod('b', { item: serves(OLD) })])).digest).toBeUndefined()
  })

  test('the last good revision is what all pods serve, else what it was', () => {
    expect(before.revision).toEqual({ desired: NEW, short: 'bee10000', lastGood: NEW })
    expect(statusOf(view(olds())).revision?.lastGood).toBe(OLD)
    const mixed = view([pod('a'), pod('b', { item: serves(OLD) })])
    const previous = statusOf(view(olds()))
    expect(statusOf(mixed, { previous }).revision?.lastGood).toBe(OLD)
  })

  test('refused revisions are remembered, at most 10, the newest last, until one serves', () => {
    let previous: ItemStatus | undefined
    const revisions = Array.from({ length: 12 }, (_, index) => hash(`e${index.toString(16)}`))
    for (const revision of revisions) {
      const item = serves(OLD, { candidate: { revision, outcome: 'rejected', error: BROKEN } })
      previous = statusOf(view([pod('a', { item })]), { previous, item: { type: 'compiled', revision } })
    }
    expect(previous?.rejected).toEqual(revisions.slice(2))
    const served = revisions[5] ?? ''
    const mended = statusOf(view([pod('a', { item: serves(served) })]), {
      previous,
      item: { type: 'compiled', revision: served },
    })
    expect(mended.rejected).toEqual(revisions.slice(2).filter((revision) => revision !== served))
  })
})

describe('messages', () => {
  test.each<[string, RuntimeView | undefined, Partial<ItemInput>, string]>([
    [
      'a refusal names the pods, the file and what serves',
      view(refusers()),
      {},
      'revision bee10000 was refused by 3 of 3 pods: tools/w.ts:3:9: broken; the last good version goes on serving',
    ],
    [
      'a bundle’s refusal names the bundle and its ConfigMap',
      view([pod('a', { files: { active: OLD } }), pod('b', { files: { active: OLD } })], {
        verdicts: verdict('bundle/files', FILES),
      }),
      {},
      'bundle "files" (ConfigMap "support-files") was refused by 1 of 2 pods: tools/w.ts:3:9: broken; the last good version goes on serving',
    ],
    [
      'a ConfigMap that is missing is named once',
      view([pod('a')], {
        bundles: new Map([
          ['files', { configMap: 'f', problem: { reason: 'ConfigMapNotFound', message: 'there is no ConfigMap "f"' } }],
        ]),
      }),
      {},
      'waits: bundle "files": there is no ConfigMap "f"; the last good version serves until then',
    ],
    [
      'what waits says for what',
      view([pod('a', { item: WAITS })]),
      {},
      'waits: spec.tools[0]: no tool "w"; the last good version serves until then',
    ],
    [
      'what waits for a file says which ConfigMap to create, where one is missing',
      view([pod('a', { item: WAITS })], {
        bundles: new Map([['f', { configMap: 'f', problem: { reason: 'ConfigMapNotFound', message: 'create "f"' } }]]),
      }),
      {},
      'waits: spec.tools[0]: no tool "w" (create "f"); the last good version serves until then',
    ],
    [
      'a missing runtime says what to do',
      undefined,
      { runtimeName: 'eu' },
      'spec.runtime: there is no AgentRuntime "eu" in this namespace: create it, or name another',
    ],
    [
      'pods that cannot be called say whose they are',
      view([], { problem: NO_TOKEN }),
      {},
      'AgentRuntime "default": spec.adopt.tokenSecretRef: no Secret "management"',
    ],
    ['an impossible spec names its field', view(THREE), { item: refused }, 'spec.agents[0]: calls itself'],
  ])('%s', (_what, runtime, extra, message) => {
    expect(messageOf(statusOf(runtime, extra))).toBe(message)
  })

  test('failures name pod, file, line and column, at most 10', () => {
    const many = Array.from({ length: 15 }, (_, index) => pod(`p${String(index).padStart(2, '0')}`, { item: REFUSES }))
    const { failures = [] } = statusOf(view(many))
    expect(failures).toHaveLength(10)
    expect(failures[0]).toEqual({ pod: 'p00', ...BROKEN })
  })

  test('a long message is cut to what a status holds', () => {
    const error = { ...BROKEN, message: '😀'.repeat(5000) }
    const item = serves(OLD, { candidate: { revision: NEW, outcome: 'rejected', error } })
    const status = statusOf(view([pod('a', { item })]))
    expect(itemStatus.parse(status)).toEqual(status)
    expect(messageOf(status).isWellFormed()).toBe(true)
  })
})

describe('when a status is written', () => {
  test('a sync younger than a second is not', () => {
    expect(report(view(olds()), { previous: before, unsettledMs: 400 })).toEqual({ type: 'later', afterMs: 600 })
    expect(report(view(olds()), { previous: before, unsettledMs: 1000 }).type).toBe('write')
  })

  test('what all pods serve, and what they refuse, is at once', () => {
    expect(report(view(THREE), { unsettledMs: 0 }).type).toBe('write')
    expect(report(view(refusers()), { previous: before, unsettledMs: 0, sinceWriteMs: 0 }).type).toBe('write')
  })

  test('what some pods do not answer to is, once the others had a second to acknowledge it', () => {
    const silent = pod('c', { item: serves(OLD), link: SILENT })
    const syncing = view([pod('a'), pod('b', { item: serves(OLD) }), silent])
    expect(report(syncing, { previous: before, unsettledMs: 400 })).toEqual({ type: 'later', afterMs: 600 })
    expect(report(syncing, { previous: before, unsettledMs: 1000 }).type).toBe('write')
    expect(report(view([pod('a'), silent]), { previous: before, unsettledMs: 400 }).type).toBe('write')
  })

  test('what serves is, a second after it is declared, though more pods are on their way in', () => {
    const joining = view([pod('a'), pod('b', { complete: false, item: {} }), strange('c')])
    expect(report(joining, { unsettledMs: 400 })).toEqual({ type: 'later', afterMs: 600 })
    expect(written(report(joining, { unsettledMs: 1000 })).pods).toEqual({ summary: '1/3' })
    expect(report(view([pod('a'), strange('c', SILENT)]), { unsettledMs: 0 }).type).toBe('write')
  })

  test('while the only Ready pods are being asked nothing is known, so nothing is', () => {
    for (const item of [refused, { type: 'compiled' as const, revision: NEW }])
      expect(report(view([strange('a')]), { previous: before, item })).toEqual({ type: 'later', afterMs: 1000 })
  })

  test('a change of counts alone is at most every 30 s', () => {
    const fewer = view([...THREE, pod('d')])
    expect(report(fewer, { previous: before, sinceWriteMs: 29_000 })).toEqual({ type: 'later', afterMs: 1000 })
    expect(written(report(fewer, { previous: before, sinceWriteMs: 30_000 })).pods).toEqual({ summary: '4/4' })
  })

  test('another pod that refuses the same is a change of counts', () => {
    const previous = statusOf(view(refusers()))
    const more = view([...refusers(), pod('d', { item: REFUSES })])
    expect(report(more, { previous, sinceWriteMs: 1000 })).toEqual({ type: 'later', afterMs: 29_000 })
  })

  test('after a restart a change of counts waits from when the object was first seen', () => {
    expect(report(view([pod('a')]), { previous: before, unsettledMs: 100 })).toEqual({ type: 'later', afterMs: 29_900 })
  })

  test('a new generation is, whatever else is the same', () => {
    const status = statusOf(view(THREE), { previous: before, generation: 3, unsettledMs: 0, sinceWriteMs: 0 })
    expect(status.conditions?.map(({ observedGeneration }) => observedGeneration)).toEqual([3, 3, 3])
  })
})

const aPod = fc
  .record({
    item: fc.constantFrom(serves(NEW), serves(OLD), REFUSES, WAITS, {}),
    settings: fc.constantFrom(serves(SETTINGS), serves(OLD)),
    files: fc.constantFrom({ active: FILES }, { active: OLD }),
    isReady: fc.boolean(),
    complete: fc.boolean(),
    link: fc.constantFrom(SILENT, { type: 'reachable' as const }),
  })
  .map((options) => (name: string) => pod(name, options))
const aView = fc
  .tuple(fc.array(aPod, { maxLength: 4 }), fc.constantFrom(new Map(), verdict(ID, NEW), verdict('bundle/files', FILES)))
  .map(([pods, verdicts]) =>
    view(
      pods.map((make, index) => make(`p${index}`)),
      { verdicts },
    ),
  )
const anInput = fc.record({
  runtime: fc.option(aView, { nil: undefined }),
  item: fc.constantFrom(refused, { type: 'compiled' as const, revision: NEW }),
})

describe('for any pods', () => {
  test('a report on its own status says that it is the same, however the server ordered its conditions', () => {
    fc.assert(
      fc.property(anInput, ({ runtime, item }) => {
        const status = statusOf(runtime, { item })
        const stored = { ...status, conditions: status.conditions?.toReversed() }
        const previous = parseItemStatus(JSON.parse(JSON.stringify(stored)))
        expect(report(runtime, { item, previous, now: '2027-01-01T00:00:00Z' })).toEqual({ type: 'same' })
      }),
      { seed: 7 },
    )
  })

  test('the time of a condition moves with its status alone', () => {
    const LATER = '2027-01-01T00:00:00Z'
    fc.assert(
      fc.property(anInput, anInput, (first, second) => {
        const previous = statusOf(first.runtime, { item: first.item })
        const next = statusOf(second.runtime, { item: second.item, previous, generation: 3, now: LATER })
        for (const { type, status, lastTransitionTime } of next.conditions ?? []) {
          const was = previous.conditions?.find((condition) => condition.type === type)?.status
          expect([type, lastTransitionTime]).toEqual([type, was === status ? NOW : LATER])
        }
      }),
      { seed: 7 },
    )
  })

  test('the order of the pods changes nothing', () => {
    fc.assert(
      fc.property(aView, (runtime) => {
        expect(statusOf({ ...runtime, pods: runtime.pods.toReversed() })).toEqual(statusOf(runtime))
      }),
      { seed: 7 },
    )
  })

  test('Ready is True only when each counted pod has everything as desired', () => {
    fc.assert(
      fc.property(aView, (runtime) => {
        const counted = runtime.pods.filter((each) => each.isReady && each.state?.complete)
        const has = ({ state }: PodView) => {
          const item = state?.items.get(ID)
          const settings = state?.items.get('settings')?.active?.revision
          const files = state?.bundles.get('files')?.active
          return item?.active?.revision === NEW && !item.candidate && settings === SETTINGS && files === FILES
        }
        const isReady = statusOf(runtime).conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')
        expect(isReady).toBe(counted.length > 0 && counted.every(has))
      }),
      { seed: 7, numRuns: 300 },
    )
  })
})

describe('a stored status', () => {
  test.each([[undefined], [null], ['x'], [[]], [{}], [{ conditions: 'x' }]])('%j is none', (status) => {
    expect(parseItemStatus(status)).toBeUndefined()
  })

  test('is read as far as it is valid', () => {
    expect(parseItemStatus({ ...before, digest: 5, later: true })).toEqual({ ...before, digest: undefined })
  })
})
