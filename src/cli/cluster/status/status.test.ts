import { describe, expect, test } from '@jest/globals'
import type { KubeObject } from '../../../kube/index.ts'
import { changesBetween } from './changes.ts'
import { reportLines } from './render.ts'
import { type Contents, isAllReady, missingOf, reportOn } from './report.ts'
import { hash, object, seen, type Told } from './status.fixture.ts'
import { createTimeline, momentLine } from './timeline.ts'

const PIPE = { width: undefined, isColored: false }
const found = (letter: string): Contents => ({ type: 'found', hash: hash(letter) })
const report = (objects: readonly KubeObject[], contents = {}) => reportOn(seen(objects, contents), [])

describe('how an object stands', () => {
  test.each<[string, Told, string, RegExp]>([
    ['served everywhere', {}, 'Ready', /serves it/],
    ['of which an older generation is told', { generation: 3, observed: 2 }, 'Pending', /generation 3 .* speaks of 2/],
    ['that nobody looked at', { status: { observedGeneration: undefined } }, 'Pending', /no operator/],
    ['that was refused', { ready: 'False', beside: 'Stalled', message: 'bad' }, 'Stalled', /bad/],
    ['that waits', { ready: 'False', beside: 'Reconciling', message: 'soon' }, 'Waiting', /soon/],
    ['that is not Ready, and nothing is said beside it', { ready: 'False', message: 'no' }, 'NotReady', /no/],
    ['that is deleted', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }, 'Deleting', /leaves/],
  ])('one %s', (_name, told, state, message) => {
    const [item] = report([object('Agent', 'a', told)]).items
    expect(item?.standing).toMatchObject({ state, message: expect.stringMatching(message) })
  })

  test('a refusal of an older generation does not count', () => {
    const told: Told = { generation: 2, observed: 1, ready: 'False', beside: 'Stalled' }
    expect(report([object('Agent', 'a', told)]).items[0]?.standing.state).toBe('Pending')
  })
})

const runtime = (bundle: object | undefined, told: Told = {}) =>
  object('AgentRuntime', 'default', {
    spec: { bundles: [{ name: 'files', configMap: 'cm' }] },
    ...told,
    status: { bundles: bundle === undefined ? [] : [{ name: 'files', configMap: 'cm', ...bundle }], ...told.status },
  })
const error = {
  reason: 'InvalidSyntax',
  message: 'weather.tool.ts: Unexpected token',
  file: 'weather.tool.ts',
  line: 3,
  column: 9,
}

describe('a bundle', () => {
  test.each<[string, object | undefined, Contents, string]>([
    ['all pods serve', { hash: hash('a'), lastGood: hash('a') }, found('a'), 'Live'],
    ['all pods serve, as far as may be read', { hash: hash('a'), lastGood: hash('a') }, { type: 'unknown' }, 'Live'],
    ['is on its way', { hash: hash('b'), lastGood: hash('a') }, found('b'), 'Updating'],
    ['nobody has told of', undefined, found('a'), 'Unseen'],
    ['has changed since', { hash: hash('a'), lastGood: hash('a') }, found('b'), 'Unseen'],
    ['was refused', { hash: hash('b'), lastGood: hash('a'), rejected: hash('b'), error }, found('b'), 'Rejected'],
    ['cannot be used at all', { lastGood: hash('a'), error }, found('b'), 'Rejected'],
    ['is held back', { hash: hash('b'), lastGood: hash('a'), error }, found('b'), 'Waiting'],
    ['has no ConfigMap', { lastGood: hash('a'), error }, { type: 'missing' }, 'Missing'],
  ])('that %s is told so', (_name, told, contents, state) => {
    expect(report([runtime(told)], { cm: contents }).runtimes[0]?.bundles).toMatchObject([{ name: 'files', state }])
  })

  test('that has changed since keeps its AgentRuntime and what it serves from being Ready', () => {
    const objects = [
      runtime({ hash: hash('a'), lastGood: hash('a') }),
      object('Agent', 'a'),
      object('Agent', 'b', { spec: { runtime: 'other' } }),
    ]
    expect(isAllReady(report(objects, { cm: found('a') }))).toBe(true)
    const behind = report(objects, { cm: found('b') })
    expect(isAllReady(behind)).toBe(false)
    expect(behind.items.map(({ name, standing }) => [name, standing.state])).toEqual([
      ['a', 'Pending'],
      ['b', 'Ready'],
    ])
  })
})

test('what is asked for by name and is not there is told', () => {
  const wanted = [
    { kind: 'Agent', name: 'a' },
    { kind: 'Agent', name: 'b' },
    { kind: 'Team', name: undefined },
  ] as const
  expect(missingOf(reportOn(seen([object('Agent', 'a')]), wanted), wanted)).toEqual([{ kind: 'Agent', name: 'b' }])
})

/** An Event as the operator writes it. */
const incident = (id: string, count: number, more: object = {}): KubeObject => ({
  apiVersion: 'events.k8s.io/v1',
  kind: 'Event',
  metadata: { name: id, namespace: 'team' },
  eventTime: '2026-01-01T10:00:00.000000Z',
  type: 'Warning',
  reason: 'ToolHostLost',
  action: 'Run',
  note: `pod ${id} died`,
  regarding: { kind: 'AgentRuntime', name: 'default', namespace: 'team' },
  ...(count === 1 ? {} : { series: { count, lastObservedTime: '2026-01-01T10:00:00.000000Z' } }),
  ...more,
})

test('Events of another AgentRuntime, and those of another kind, are no incidents of this one', () => {
  const other = incident('a', 1, { regarding: { kind: 'AgentRuntime', name: 'other' } })
  const { runtimes } = reportOn(
    seen([object('AgentRuntime', 'default')], {}, [other, incident('b', 1, { action: 'Sync' })]),
    [],
  )
  expect(runtimes[0]?.incidents).toEqual([])
})

describe('changes', () => {
  const told = (before: readonly KubeObject[], after: readonly KubeObject[], contents: readonly object[] = [{}, {}]) =>
    changesBetween(report(before, contents[0]), report(after, contents[1])).map(
      ({ subject, type, text }) => `${subject} ${type} ${text}`,
    )

  test('of a spec: that it was written, then what became of it', () => {
    const old = object('Agent', 'a')
    const written = object('Agent', 'a', { generation: 2, observed: 1 })
    const served = object('Agent', 'a', { generation: 2, desired: hash('b'), status: { pods: { summary: '3/3' } } })
    const refused = object('Agent', 'a', {
      generation: 2,
      desired: hash('b'),
      lastGood: hash('a'),
      ready: 'False',
      beside: 'Stalled',
      reason: 'ReferenceCycle',
      message: 'x',
    })
    expect(told([old], [written])).toEqual(['agent/a changed generation 1 → 2'])
    expect(told([written], [served])).toEqual(['agent/a served revision aaaaaaaa → bbbbbbbb, pods 3/3'])
    expect(told([written], [refused])).toEqual([
      'agent/a refused revision bbbbbbbb (last good aaaaaaaa): ReferenceCycle: x',
    ])
    expect(told([refused], [refused])).toEqual([])
    expect(told([old], [])).toEqual(['agent/a gone deleted'])
    expect(told([], [served])).toEqual(['agent/a declared generation 2', 'agent/a served revision bbbbbbbb, pods 3/3'])
  })

  test('of a ConfigMap: its hashes, what serves meanwhile, file and line; of the agents beside it nothing', () => {
    const live = (letter: string) => [runtime({ hash: hash(letter), lastGood: hash(letter) }), object('Agent', 'a')]
    const bad = [runtime({ hash: hash('b'), lastGood: hash('a'), rejected: hash('b'), error }), object('Agent', 'a')]
    expect(told(live('a'), live('a'), [{ cm: found('a') }, { cm: found('b') }])).toEqual([
      'bundle/default/files changed ConfigMap cm aaaaaaaa → bbbbbbbb',
    ])
    expect(told(live('a'), live('b'), [{ cm: found('b') }, { cm: found('b') }])).toEqual([
      'bundle/default/files served hash aaaaaaaa → bbbbbbbb',
    ])
    expect(told(live('a'), bad, [{ cm: found('b') }, { cm: found('b') }])).toEqual([
      'bundle/default/files refused hash bbbbbbbb, last good aaaaaaaa serves: InvalidSyntax: weather.tool.ts:3:9: Unexpected token',
    ])
  })

  test('of pods: which came, went, and became another', () => {
    const pod = (name: string, complete: boolean) => ({ name, ready: true, complete, link: 'Reachable' })
    const pods = (...list: readonly object[]) => [runtime(undefined, { status: { pods: list } })]
    expect(told(pods(pod('a', true), pod('b', false)), pods(pod('b', true), pod('c', true)))).toEqual([
      'pod/b pod Ready, complete, reachable',
      'pod/c pod Ready, complete, reachable',
      'pod/a pod gone',
    ])
  })

  test('of what went wrong in code: what is new, and what happened again, with how often', () => {
    const at = (incidents: readonly (readonly [id: string, count: number])[]) =>
      reportOn(
        seen(
          [object('AgentRuntime', 'default')],
          {},
          incidents.map(([id, count]) => incident(id, count)),
        ),
        [],
      )
    const changes = changesBetween(
      at([['a', 1]]),
      at([
        ['a', 1],
        ['b', 3],
      ]),
    )
    expect(changes).toEqual([
      {
        subject: 'agentruntime/default',
        namespace: 'team',
        type: 'incident',
        text: '3 times: ToolHostLost: pod b died',
      },
    ])
    expect(changesBetween(at([['b', 3]]), at([['b', 4]])).map(({ text }) => text)).toEqual([
      '4 times: ToolHostLost: pod b died',
    ])
    expect(changesBetween(at([['b', 3]]), at([]))).toEqual([])
  })

  test('are dated, and what serves tells how long after it was written', () => {
    const timeline = createTimeline()
    const about = { subject: 'agent/a', namespace: 'team' }
    const at = (monotonic: number) => ({ now: new Date(2026, 0, 1, 12, 0, 0, monotonic).getTime(), monotonic })
    const lines = [
      timeline.date({ ...about, type: 'changed', text: 'x' }, at(100)),
      timeline.date({ ...about, namespace: 'other', type: 'served', text: 'y' }, at(150)),
      timeline.date({ ...about, type: 'served', text: 'y' }, at(184)),
      timeline.date({ ...about, type: 'served', text: 'y' }, at(200)),
    ].map((moment) => momentLine(moment, false, PIPE))
    expect(lines).toEqual([
      '12:00:00.100  team agent/a            changed   x',
      '12:00:00.150  other agent/a           served    y',
      '12:00:00.184  team agent/a            served    84 ms after the change: y',
      '12:00:00.200  team agent/a            served    y',
    ])
  })
})

describe('a report for people', () => {
  test('tells a runtime with its pods and files, then what it serves', () => {
    const bundle = { hash: hash('b'), lastGood: hash('a'), rejected: hash('b'), error }
    const pods = [
      {
        name: 'p-1',
        ready: true,
        complete: false,
        link: 'Unreachable',
        reason: 'RuntimeUnreachable',
        message: 'no answer',
      },
    ]
    const stalled: Told = { ready: 'False', beside: 'Stalled', reason: 'InvalidSyntax', message: 'refused' }
    const objects = [
      runtime(bundle, {
        ...stalled,
        status: { bundles: [{ name: 'files', configMap: 'cm', ...bundle }], pods, podSummary: '0/1' },
      }),
      object('Agent', 'a', { ...stalled, status: { pods: { summary: '0/1' } } }),
    ]
    expect(reportLines(report(objects, { cm: found('b') }), PIPE)).toEqual([
      'AgentRuntime default   Stalled   pods 0/1   settings aaaaaaaa',
      '  InvalidSyntax: refused',
      '  POD   READY   COMPLETE   LINK          MESSAGE',
      '  p-1   yes     no         Unreachable   RuntimeUnreachable: no answer',
      '  BUNDLE   CONFIGMAP   HASH       LAST GOOD   STATE      MESSAGE',
      '  files    cm          bbbbbbbb   aaaaaaaa    Rejected   InvalidSyntax: weather.tool.ts:3:9: Unexpected token',
      '',
      'KIND    NAME   RUNTIME   REVISION   LAST GOOD   PODS   STATE     MESSAGE',
      'Agent   a      default   aaaaaaaa   aaaaaaaa    0/1    Stalled   InvalidSyntax: refused',
    ])
  })

  test('names the namespace where there are several', () => {
    const other = object('Agent', 'a', { metadata: { namespace: 'other' } })
    const lines = reportLines(report([runtime(undefined), other]), PIPE)
    expect(lines[0]).toContain('AgentRuntime team/default')
    expect(lines.at(-1)).toMatch(/^other {7}Agent/)
  })
})
