import { type Problem, ProblemError, problemOf, SETTINGS_ID } from '../../api/index.ts'
import type { Check } from './check.ts'
import { ACCESS } from './checks/access.ts'
import { BUNDLES } from './checks/bundles.ts'
import { EVENTS } from './checks/events.ts'
import { CHECK_MODE, GUARD } from './checks/guard.ts'
import { ITEMS } from './checks/items.ts'
import { ENVELOPE, STATE } from './checks/state.ts'
import { SYNC } from './checks/sync.ts'
import type { EndpointClient } from './client.ts'
import { expectEqual, Unmet } from './expectation.ts'
import { PREFIX, SETTINGS, Session } from './session.ts'

export type CheckResult = { readonly name: string } & (
  | { readonly ok: true }
  | {
      readonly ok: false
      /** What was expected, and what came. */
      readonly expected: string
    }
)

/** In the order in which they run. */
const CHECKS: readonly Check[] = [
  ...ACCESS,
  ...STATE,
  ...ENVELOPE,
  ...GUARD,
  ...CHECK_MODE,
  ...ITEMS,
  ...BUNDLES,
  ...SYNC,
  ...EVENTS,
]

type SuiteOptions = {
  /** Also runs on a runtime that somebody has claimed or filled; its settings are lost. */
  readonly force: boolean
}

/**
 * Runs every check against a runtime, one after the other, and takes everything away again that it brought: its items
 * and bundles, the pins, the claim. The fence stays two higher.
 * @throws ProblemError Claimed when the runtime is in use, Unauthorized when it refuses the token, RuntimeUnreachable
 * when it does not answer as one
 */
export async function* runConformance(client: EndpointClient, { force }: SuiteOptions): AsyncGenerator<CheckResult> {
  const session = await begin(client, force)
  try {
    for (const check of CHECKS) yield await resultOf(check, session)
  } finally {
    yield await resultOf(CLEANUP, session)
  }
}

async function begin(client: EndpointClient, force: boolean): Promise<Session> {
  const session = new Session(client, { bootId: '', fence: 0, claim: PREFIX })
  await mustBeLetIn(client)
  const state = await session.state().catch((error: unknown) => {
    throw new ProblemError(notARuntime(error))
  })
  const held = Object.entries(state.items).filter(([id, { owner }]) => owner !== 'api' && id !== SETTINGS_ID)
  const use = state.claimedBy === undefined ? `holds ${held.length} items` : `is claimed by ${state.claimedBy}`
  if (!force && (state.claimedBy !== undefined || held.length > 0)) {
    const message = `the runtime ${use}: give one that nobody uses, or --force, which takes its settings away`
    throw new ProblemError({ reason: 'Claimed', message })
  }
  session.writer = { bootId: state.bootId, fence: state.fence + 1, claim: state.claimedBy ?? PREFIX }
  return session
}

/** @throws ProblemError Unauthorized */
async function mustBeLetIn(client: EndpointClient): Promise<void> {
  const { status } = await client.call({ path: '/management/v1/state' }).catch((error: unknown) => {
    throw new ProblemError(notARuntime(error))
  })
  if (status !== 401 && status !== 403) return
  const message = `the token is refused (HTTP ${status}): give the one that the runtime was started with`
  throw new ProblemError({ reason: 'Unauthorized', message })
}

function notARuntime(error: unknown): Problem {
  const { message } = problemOf(error, 'RuntimeUnreachable')
  return { reason: 'RuntimeUnreachable', message: `no runtime answers there: ${message}` }
}

/** Every check begins with the settings and nothing else, whatever the one before has left. */
async function resultOf({ name, run }: Check, session: Session): Promise<CheckResult> {
  try {
    await prepare(session)
    await run(session)
    return { name, ok: true }
  } catch (error) {
    const expected =
      error instanceof Unmet ? error.message : `an answer: ${problemOf(error, 'RuntimeUnreachable').message}`
    return { name, ok: false, expected }
  }
}

async function prepare(session: Session): Promise<void> {
  const { bootId, fence } = await session.state()
  // A runtime that fails a check may have moved the fence; what comes after is judged on its own.
  session.writer = { ...session.writer, bootId, fence: Math.max(fence, session.writer.fence) }
  await session.clear()
  await session.apply({ definitions: [SETTINGS] })
}

const CLEANUP: Check = {
  name: 'cleanup: everything that was brought goes, and the claim with it',
  run: async (session) => {
    await session.apply({ remove: { items: [SETTINGS_ID] }, release: true })
    const { items, bundles, secrets, pins, claimedBy } = await session.state()
    const left = [items, bundles, secrets].flatMap((part) => Object.keys(part)).filter((id) => id.includes(PREFIX))
    expectEqual('what is left, pins and claim', [left, pins, claimedBy], [[], {}, undefined])
  },
}
