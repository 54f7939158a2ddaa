import { describe, expect, test } from '@jest/globals'
import { type Problem, runtimeStatus } from '../../api/index.ts'
import type { BundleView, PodView, RuntimeView } from '../ports.ts'
import { parseRuntimeStatus } from './parse.ts'
import {
  conditionsIn,
  FILES,
  messageOf,
  NOW,
  OLD,
  pod,
  runtimeInput,
  SETTINGS,
  SILENT,
  serves,
  strange,
  view,
  written,
} from './report.fixture.ts'
import { type RuntimeInput, reportRuntime } from './runtime.ts'

const BROKEN: Problem = {
  reason: 'InvalidSyntax',
  message: 'tools/w.ts: broken',
  file: 'tools/w.ts',
  line: 3,
  column: 9,
}
const NO_SECRET: Problem = { reason: 'SecretNotFound', message: 'spec.models[0].apiKey: no Secret "llm"' }
const NO_TOKEN: Problem = { reason: 'SecretNotFound', message: 'spec.adopt.tokenSecretRef: no Secret "management"' }
const PINNED: Problem = { reason: 'Pinned', message: 'held at another version by a pin' }
const THREE = [pod('a'), pod('b'), pod('c')]
const statusOf = (runtime: RuntimeView, extra: Partial<RuntimeInput> = {}) =>
  written(reportRuntime(runtimeInput(runtime, extra)))
const settingsOf = (outcome: 'pending' | 'rejected', error: Problem) =>
  pod('a', { settings: serves(OLD, { candidate: { revision: SETTINGS, outcome, error } }) })
const refusesFiles = (name: string) =>
  pod(name, { files: { active: OLD, candidate: { hash: FILES, outcome: 'rejected', error: BROKEN } } })
const held = (name: string) =>
  pod(name, { files: { active: OLD, candidate: { hash: FILES, outcome: 'pending', error: PINNED } } })
const impossible = {
  type: 'refused' as const,
  problems: [{ reason: 'InvalidSpec' as const, message: 'spec.models: no' }],
}
const noConfigMap = new Map([
  ['files', { configMap: 'support-files', problem: { reason: 'ConfigMapNotFound' as const, message: 'no ConfigMap' } }],
])

describe('conditions', () => {
  test.each<[string, RuntimeView, Partial<RuntimeInput>, string]>([
    ['every pod has its settings and files', view(THREE), {}, 'Accepted Ready=Served Available'],
    [
      'the settings are refused',
      view([settingsOf('rejected', BROKEN)]),
      {},
      'Accepted !Ready=InvalidSyntax Available Stalled',
    ],
    [
      'a Secret is missing',
      view([settingsOf('pending', NO_SECRET)]),
      {},
      'Accepted !Ready=SecretNotFound Available Reconciling',
    ],
    ['a bundle is refused', view([refusesFiles('a')]), {}, 'Accepted !Ready=InvalidSyntax Available Stalled'],
    [
      'a pod is held at the last good files',
      view([held('a')], {
        verdicts: new Map([['bundle/files', { revision: FILES, failures: [{ ...BROKEN, pod: 'a' }] }]]),
      }),
      {},
      'Accepted !Ready=InvalidSyntax Available Stalled',
    ],
    [
      'a pod is still held at the last good files, and the new ones are good',
      view([held('a')]),
      {},
      'Accepted !Ready=Syncing Available Reconciling',
    ],
    [
      'a ConfigMap is missing',
      view(THREE, { bundles: noConfigMap }),
      {},
      'Accepted !Ready=ConfigMapNotFound Available Reconciling',
    ],
    [
      'it is impossible as declared',
      view(THREE, { settings: undefined }),
      { item: impossible },
      '!Accepted !Ready=InvalidSpec Available Stalled',
    ],
    ['it has no pods', view([]), {}, 'Accepted !Ready=PodsNotFound !Available Reconciling'],
    [
      'an older one has its pods',
      view([], { claimedPods: ['a'] }),
      {},
      'Accepted !Ready=PodsClaimed !Available Reconciling',
    ],
    [
      'what it takes to call its pods is missing',
      view([], { problem: NO_TOKEN }),
      {},
      'Accepted !Ready=SecretNotFound !Available Reconciling',
    ],
    [
      'what it takes to call its pods went while they serve',
      view(THREE, { problem: NO_TOKEN }),
      {},
      'Accepted !Ready=SecretNotFound Available Reconciling',
    ],
    [
      'a Secret of its tools is missing, which waits for it while everything serves',
      view(THREE, { toolSecrets: NO_TOKEN }),
      {},
      'Accepted !Ready=SecretNotFound Available Reconciling',
    ],
    [
      'no pod is Ready',
      view([pod('a', { isReady: false })]),
      {},
      'Accepted !Ready=PodsNotReady !Available Reconciling',
    ],
    [
      'a pod that has it all does not answer',
      view([pod('a', { link: SILENT })]),
      {},
      'Accepted Ready=Served Available',
    ],
  ])('%s', (...[, runtime, extra, expected]) => {
    const status = statusOf(runtime, extra)
    expect(conditionsIn(status)).toBe(expected)
    expect(runtimeStatus.parse(status)).toEqual(status)
    const previous = parseRuntimeStatus(JSON.parse(JSON.stringify(status)))
    expect(reportRuntime(runtimeInput(runtime, { ...extra, previous }))).toEqual({ type: 'same' })
  })

  test('what is refused shows before what waits', () => {
    const bundles = new Map<string, BundleView>([...noConfigMap, ['second', { configMap: 's', hash: FILES }]])
    const verdicts = new Map([['bundle/second', { revision: FILES, failures: [{ ...BROKEN, pod: 'a' }] }]])
    expect(messageOf(statusOf(view([pod('a')], { bundles, verdicts })))).toBe(
      'bundle "second" (ConfigMap "s") was refused by 1 of 1 pods: tools/w.ts:3:9: broken; the last good version goes on serving',
    )
  })

  test('a runtime with pods says which it had to leave to an older one', () => {
    expect(messageOf(statusOf(view(THREE, { claimedPods: ['z'] })))).toContain('an older AgentRuntime has z')
  })
})

describe('bundles', () => {
  test('tell what should serve, what last did, and why a version was refused', () => {
    const previous = statusOf(view(THREE))
    expect(previous.bundles).toEqual([{ name: 'files', configMap: 'support-files', hash: FILES, lastGood: FILES }])
    const mixed = statusOf(view([refusesFiles('a'), pod('b')]), { previous })
    expect(mixed.bundles).toEqual([
      { name: 'files', configMap: 'support-files', hash: FILES, lastGood: FILES, rejected: FILES, error: BROKEN },
    ])
    expect(mixed.failures).toEqual([{ pod: 'a', ...BROKEN, message: 'bundle "files": tools/w.ts: broken' }])
  })

  test('that a pod went back from are not told as the last good ones, also while others still serve them', () => {
    const previous = statusOf(view(THREE))
    const error = { ...BROKEN, reason: 'RevertedByProbation' as const }
    const wentBack = pod('a', { files: { active: OLD, candidate: { hash: FILES, outcome: 'reverted', error } } })
    const mixed = statusOf(view([wentBack, pod('b')]), { previous })
    expect(mixed.bundles).toEqual([{ name: 'files', configMap: 'support-files', hash: FILES, rejected: FILES, error }])
    expect(conditionsIn(mixed)).toBe('Accepted !Ready=RevertedByProbation Available Stalled')
    const alone = statusOf(view([wentBack]), { previous })
    expect(alone.bundles?.[0]).toMatchObject({ lastGood: OLD, rejected: FILES })
  })

  test('without files to use tell why', () => {
    const [bundle] = statusOf(view(THREE, { bundles: noConfigMap })).bundles ?? []
    expect([bundle?.hash, bundle?.error?.reason, bundle?.rejected]).toEqual([undefined, 'ConfigMapNotFound', undefined])
  })
})

describe('pods', () => {
  test('are counted, and listed with the worst first', () => {
    const pods: PodView[] = [
      pod('d'),
      pod('c', { complete: false }),
      pod('b', { isReady: false }),
      strange('a', SILENT),
    ]
    const status = statusOf(view(pods))
    expect([status.replicas, status.readyReplicas, status.podSummary]).toEqual([4, 1, '1/4'])
    expect(status.pods?.map(({ name, link, reason }) => `${name} ${link} ${reason}`)).toEqual([
      'a Unreachable RuntimeUnreachable',
      'b Reachable PodsNotReady',
      'c Reachable Syncing',
      'd Reachable undefined',
    ])
  })

  test('are listed to 50', () => {
    const many = Array.from({ length: 60 }, (_, index) => pod(`p${index}`))
    expect(statusOf(view(many)).pods).toHaveLength(50)
  })

  test('that join are written at most every 30 s', () => {
    const previous = statusOf(view(THREE))
    const later = reportRuntime(runtimeInput(view([...THREE, pod('d')]), { previous, sinceWriteMs: 10_000, now: NOW }))
    expect(later).toEqual({ type: 'later', afterMs: 20_000 })
  })
})
