import type { BundleState, ItemState, ItemStatus, RuntimeStatus } from '../../api/index.ts'
import type { PodLink, PodState, PodView, RuntimeView } from '../ports.ts'
import type { ItemInput } from './item.ts'
import type { RuntimeInput } from './runtime.ts'
import type { Report } from './settle.ts'

/** A hash that begins as said. */
export const hash = (start: string): string => start.padEnd(32, '0')

export const ID = 'agents/support'
export const [OLD, NEW, SETTINGS, FILES] = [hash('a01d'), hash('bee1'), hash('5e77'), hash('f11e')] as const
export const NOW = '2026-01-02T03:04:05Z'

export const REACHABLE: PodLink = { type: 'reachable' }
export const SILENT: PodLink = {
  type: 'unreachable',
  problem: { reason: 'RuntimeUnreachable', message: 'did not answer in 2 s' },
}

type PodOptions = Partial<Pick<PodView, 'isReady' | 'link'>> & {
  readonly item?: Partial<ItemState>
  readonly settings?: Partial<ItemState>
  readonly files?: BundleState
  readonly complete?: boolean
}

export const serves = (revision: string, extra: Partial<ItemState> = {}): Partial<ItemState> => ({
  active: { revision, digest: hash(`d${revision}`.slice(0, 8)), bundles: ['files'] },
  ...extra,
})

/** A pod that serves NEW with its settings and files, but for what is said. */
export function pod(name: string, options: PodOptions = {}): PodView {
  const { item = serves(NEW), settings = serves(SETTINGS), files = { active: FILES }, complete = true } = options
  const state: PodState = {
    bootId: name,
    claimedBy: 'default/default',
    fence: 1,
    complete,
    items: new Map([
      [ID, { owner: 'operator' as const, ...item }],
      ['settings', { owner: 'operator' as const, ...settings }],
    ]),
    bundles: new Map([['files', files]]),
    secrets: new Map(),
    pins: new Map(),
  }
  return { name, uid: name, isReady: options.isReady ?? true, link: options.link ?? REACHABLE, state }
}

/** A pod whose state has not been read yet. */
export const strange = (name: string, link: PodLink = { type: 'connecting' }): PodView => ({
  ...{ name, uid: name, isReady: true, link },
  state: undefined,
})

export const view = (pods: readonly PodView[], extra: Partial<RuntimeView> = {}): RuntimeView => ({
  name: { namespace: 'default', name: 'default' },
  pods,
  claimedPods: [],
  settings: SETTINGS,
  bundles: new Map([['files', { configMap: 'support-files', hash: FILES }]]),
  verdicts: new Map(),
  ...extra,
})

export const itemInput = (runtime: RuntimeView | undefined, extra: Partial<ItemInput> = {}): ItemInput => ({
  id: ID,
  generation: 2,
  previous: undefined,
  item: { type: 'compiled', revision: NEW },
  runtimeName: 'default',
  runtime,
  unsettledMs: 5000,
  sinceWriteMs: undefined,
  now: NOW,
  ...extra,
})

export const runtimeInput = (runtime: RuntimeView, extra: Partial<RuntimeInput> = {}): RuntimeInput => ({
  generation: 2,
  previous: undefined,
  item: { type: 'compiled', revision: SETTINGS },
  runtime,
  unsettledMs: 5000,
  sinceWriteMs: undefined,
  now: NOW,
  ...extra,
})

export function written<S>(report: Report<S>): S {
  if (report.type !== 'write') throw new Error(`expected a status, got ${JSON.stringify(report)}`)
  return report.status
}

/** `Accepted Ready=ToolNotFound Available | Reconciling`: a `!` stands before what is False. */
export function conditionsIn({ conditions = [] }: ItemStatus | RuntimeStatus): string {
  return conditions
    .map(({ type, status, reason }) => `${status === 'True' ? '' : '!'}${type}${type === 'Ready' ? `=${reason}` : ''}`)
    .join(' ')
}

export const messageOf = ({ conditions = [] }: ItemStatus | RuntimeStatus): string =>
  conditions.find(({ type }) => type === 'Ready')?.message ?? ''
