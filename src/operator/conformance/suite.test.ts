import { describe, expect, test } from '@jest/globals'
import { type ApplyRequest, type ApplyResponse, definition, type Incident, ProblemError } from '../../api/index.ts'
import { createLog } from '../../log.ts'
import { Registry } from '../../runtime/registry/index.ts'
import { FakeLoader, loadModel } from '../../runtime/registry/registry.fixture.ts'
import { createManagementApp, serve } from '../../runtime/server/index.ts'
import { type CheckResult, connectTo, runConformance } from './index.ts'

type Management = Pick<Registry, 'state' | 'apply' | 'events'>

/** Runs the suite against a server whose registry was made faulty. */
async function resultsOf(spoil: (registry: Registry) => Partial<Management>): Promise<CheckResult[]> {
  const stop = new AbortController()
  const { signal } = stop
  const log = createLog({ level: 'error', format: 'json', destination: { write: () => undefined } })
  const registry = new Registry({ loadModel, loadBundle: new FakeLoader().load })
  const honest: Management = {
    state: () => registry.state(),
    apply: (request) => registry.apply(request),
    events: (until, id) => registry.events(until, id),
  }
  const management = { ...honest, ...spoil(registry) }
  const app = createManagementApp({ management, tokens: () => ['t'], log, signal, timing: { heartbeatMs: 50 } })
  const serving = await serve({ app, host: '127.0.0.1', port: 0, signal, drainMs: 100 })
  const client = connectTo({ url: serving.url, token: 't' })
  const results: CheckResult[] = []
  for await (const result of runConformance(client, { force: false })) results.push(result)
  await client.close()
  stop.abort()
  await serving.closed
  return results
}

const failures = (results: readonly CheckResult[]): string[] => results.flatMap(({ ok, name }) => (ok ? [] : [name]))

/** What the tests' bundle loader does not do: it knows no includes. */
const KNOWN = 'bundles: one with a bad file is rejected as a whole, with the file; the last good one serves'

const rewritten =
  (change: (request: ApplyRequest, registry: Registry) => ApplyRequest) =>
  (registry: Registry): Partial<Management> => ({ apply: (request) => registry.apply(change(request, registry)) })

const writingCheck = (registry: Registry): Partial<Management> => ({
  apply: async (request) => {
    if (request.mode === 'activate') return registry.apply(request)
    const answer = await registry.apply({ ...request, mode: 'activate' })
    return { ...answer, items: checked(answer.items), bundles: checked(answer.bundles) }
  },
})

const checked = (results: ApplyResponse['items']): ApplyResponse['items'] =>
  Object.fromEntries(
    Object.entries(results).map(([id, result]) => [
      id,
      result.outcome === 'activated' ? { ...result, outcome: 'checked' } : result,
    ]),
  )

const allOrNothing = (registry: Registry): Partial<Management> => ({
  apply: async (request) => {
    const bad = Object.values(request.items).some((item) => !definition.safeParse(item.definition).success)
    if (bad) throw new ProblemError({ reason: 'InvalidSpec', message: 'an item is malformed' })
    return registry.apply(request)
  },
})

const withGap = (registry: Registry): Partial<Management> => ({
  events: async function* (signal, id) {
    for await (const event of registry.events(signal, id))
      if (!event.id.endsWith('5') || event.type === 'reset') yield event
  },
})

/** An incident before every call that takes items away. */
const telling =
  (about: object) =>
  (registry: Registry): Partial<Management> => ({
    apply: (request) => {
      const incident = { at: '2026-01-01T00:00:00.000Z', count: 1, ...about } as Incident
      if (request.mode === 'activate' && request.remove.items.length > 0) registry.tell(incident)
      return registry.apply(request)
    },
  })

describe('the conformance suite', () => {
  test('passes on an honest runtime', async () => {
    expect(failures(await resultsOf(() => ({})))).toEqual([KNOWN])
  })

  test('passes on a runtime in which code of bundles goes wrong', async () => {
    expect(failures(await resultsOf(telling({ reason: 'ExtensionFailed', message: 'no', bundle: 'files' })))).toEqual([
      KNOWN,
    ])
  }, 30_000)

  test.each<[string, (registry: Registry) => Partial<Management>, RegExp]>([
    [
      'ignores the fence',
      rewritten((request, registry) => ({ ...request, fence: Math.max(request.fence, registry.state().fence) })),
      /^fence: a higher one is taken/,
    ],
    [
      'does not look at the target',
      rewritten((request, registry) => ({ ...request, target: { bootId: registry.bootId } })),
      /^target:/,
    ],
    [
      'does not look at the claim',
      rewritten((request, registry) => ({ ...request, claim: registry.state().claimedBy ?? request.claim })),
      /^claim: another claim is Claimed/,
    ],
    [
      'keeps the claim on release',
      rewritten(({ release: _, ...request }) => request),
      /^claim: after its release another may claim/,
    ],
    ['does not look at ifSnapshot', rewritten(({ ifSnapshot: _, ...request }) => request), /^ifSnapshot:/],
    ['writes in a check', writingCheck, /^check: changes nothing/],
    ['refuses all for one bad item', allOrNothing, /^items: one that cannot be read is rejected alone/],
    ['leaves an event out', withGap, /^events: ids are bootId\/number and count without gaps/],
    [
      'tells an incident without a message',
      telling({ reason: 'ExtensionFailed', bundle: 'files' }),
      /^events: ids are bootId\/number and count without gaps/,
    ],
    ['ignores pins', rewritten(({ pins: _, ...request }) => request), /^pins: hold a bundle/],
    [
      'tells a state that events do not lead to',
      (registry) => ({ state: () => ({ ...registry.state(), bundles: {} }) }),
      /^events: a state and the events after it make the state now/,
    ],
  ])(
    'finds a runtime that %s, and names the check',
    async (_what, spoil, name) => {
      const failed = failures(await resultsOf(spoil))
      expect(failed.filter((each) => name.test(each))).toHaveLength(1)
    },
    30_000,
  )

  test('a failure says what was expected', async () => {
    const results = await resultsOf(
      rewritten((request, registry) => ({ ...request, target: { bootId: registry.bootId } })),
    )
    const target = results.find(({ name }) => name.startsWith('target:'))
    expect(target).toMatchObject({ ok: false, expected: 'status: expected 409, got 200' })
  })
})
