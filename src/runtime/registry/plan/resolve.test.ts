import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Problem } from '../../../api/index.ts'
import { type Candidate, resolve, type Unit } from './resolve.ts'

const missing = (ref: string): Problem => ({ reason: 'ToolNotFound', message: `no ${ref}` })
const unit = (id: string, provides: string[] = [], requires: string[] = []): Unit => ({
  id,
  provides: [id, ...provides],
  requires: requires.map((ref) => ({ ref, missing: missing(ref) })),
})
const put = (value: Unit): Candidate => ({ type: 'put', unit: value })
const units = (...list: Unit[]) => new Map(list.map((value) => [value.id, value]))
const puts = (...list: Unit[]) => new Map(list.map((value) => [value.id, put(value)]))
const REMOVE: Candidate = { type: 'remove' }

describe('resolve', () => {
  test('activates candidates that are consistent together', () => {
    const tools = unit('bundles/b', ['tool:weather'])
    const agent = unit('agents/a', [], ['tool:weather'])
    const { next, waiting } = resolve(new Map(), puts(agent, tools))
    expect([...next.keys()].sort()).toEqual(['agents/a', 'bundles/b'])
    expect(waiting.size).toBe(0)
  })

  test('lets an agent wait for a tool that is missing, with the reason', () => {
    const { next, waiting } = resolve(new Map(), puts(unit('agents/a', [], ['tool:weather'])))
    expect(next.size).toBe(0)
    expect(waiting.get('agents/a')).toEqual(missing('tool:weather'))
  })

  test('renames a tool together with the agent that uses it', () => {
    const active = units(unit('bundles/b', ['tool:old']), unit('agents/a', [], ['tool:old']))
    const renamed = unit('bundles/b', ['tool:new'])
    const first = resolve(active, puts(renamed))
    expect(first.next).toEqual(active)
    expect(first.waiting.get('bundles/b')).toEqual({
      reason: 'StillReferenced',
      message: 'tool old is still used by agents/a',
    })
    const both = resolve(active, puts(renamed, unit('agents/a', [], ['tool:new'])))
    expect(both.next.get('bundles/b')).toBe(renamed)
    expect(both.waiting.size).toBe(0)
  })

  test('keeps an agent that a team still names, until the team lets it go', () => {
    const active = units(unit('agents/a'), unit('teams/t', [], ['agents/a']))
    expect(resolve(active, new Map([['agents/a', REMOVE]])).waiting.get('agents/a')?.reason).toBe('StillReferenced')
    const gone = resolve(
      active,
      new Map([
        ['agents/a', REMOVE],
        ['teams/t', put(unit('teams/t'))],
      ]),
    )
    expect([...gone.next.keys()]).toEqual(['teams/t'])
  })

  test('refuses a cycle and names its chain', () => {
    const { next, waiting } = resolve(
      units(unit('agents/a'), unit('agents/b', [], ['agents/a'])),
      puts(unit('agents/a', [], ['agents/b'])),
    )
    expect(next.get('agents/a')?.requires).toEqual([])
    expect(waiting.get('agents/a')).toMatchObject({
      reason: 'ReferenceCycle',
      message: expect.stringContaining('agents/a → agents/b → agents/a'),
    })
  })

  test('says why a provider cannot provide, at the place that needs it', () => {
    const why: Problem = { reason: 'SecretNotFound', message: 'Secret llm has no key openai' }
    const settings: Unit = { ...unit('settings'), unavailable: new Map([['model:default', why]]) }
    const agent: Unit = {
      id: 'agents/a',
      provides: ['agents/a'],
      requires: [{ ref: 'model:default', missing: { reason: 'ModelNotFound', message: '', path: 'spec.model' } }],
    }
    expect(resolve(new Map(), puts(settings, agent)).waiting.get('agents/a')).toEqual({ ...why, path: 'spec.model' })
  })

  test('a bad item never holds back another', () => {
    const { next, waiting } = resolve(new Map(), puts(unit('agents/bad', [], ['tool:none']), unit('agents/good')))
    expect([...next.keys()]).toEqual(['agents/good'])
    expect([...waiting.keys()]).toEqual(['agents/bad'])
  })
})

// A small world: agents may need each other and tools, bundles provide tools. Versions of one id differ in both.
const AGENTS = ['agents/a', 'agents/b', 'agents/c', 'teams/t']
const BUNDLES = ['bundles/x', 'bundles/y']
const TOOLS = ['tool:1', 'tool:2', 'tool:3']
const arrival = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(...AGENTS), fc.subarray([...AGENTS, ...TOOLS], { maxLength: 3 }))
      .map(([id, requires]) => ({ id, candidate: put(unit(id, [], requires)) })),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(...BUNDLES), fc.subarray(TOOLS))
      .map(([id, provides]) => ({ id, candidate: put(unit(id, provides)) })),
  },
  { weight: 1, arbitrary: fc.constantFrom(...AGENTS, ...BUNDLES).map((id) => ({ id, candidate: REMOVE })) },
)
type Arrival = { id: string; candidate: Candidate }

/** What the registry does with arrivals: one candidate per id, kept until it serves or a newer one comes. */
function arrive(arrivals: readonly Arrival[], start: ReadonlyMap<string, Unit> = new Map()) {
  let active = start
  const candidates = new Map<string, Candidate>()
  const history: ReadonlyMap<string, Unit>[] = [active]
  for (const { id, candidate } of arrivals) {
    candidates.set(id, candidate)
    const { next, waiting } = resolve(active, candidates)
    for (const key of [...candidates.keys()]) if (!waiting.has(key)) candidates.delete(key)
    active = next
    history.push(active)
  }
  return { active, candidates, history }
}

const isConsistent = (state: ReadonlyMap<string, Unit>): boolean => {
  const provided = new Set([...state.values()].flatMap(({ provides }) => provides))
  const reaches = (from: string, goal: string, seen: Set<string>): boolean =>
    (state.get(from)?.requires ?? []).some(
      ({ ref }) => ref === goal || (!seen.has(ref) && reaches(ref, goal, seen.add(ref))),
    )
  return [...state.values()].every(
    ({ id, requires }) => requires.every(({ ref }) => provided.has(ref)) && !reaches(id, id, new Set()),
  )
}

/** Orders in which each id's own arrivals keep their order. */
function reorder(arrivals: readonly Arrival[], keys: readonly number[]): Arrival[] {
  const queues = new Map<string, Arrival[]>()
  for (const one of arrivals) queues.set(one.id, [...(queues.get(one.id) ?? []), one])
  const out: Arrival[] = []
  for (let step = 0; out.length < arrivals.length; step += 1) {
    const ids = [...queues].flatMap(([key, queue]) => (queue.length > 0 ? [key] : []))
    const id = ids[(keys[step % keys.length] ?? 0) % ids.length] ?? ''
    const next = queues.get(id)?.shift()
    if (next) out.push(next)
  }
  return out
}

describe('resolve, for any arrivals', () => {
  const cases = fc.tuple(
    fc.array(arrival, { minLength: 1, maxLength: 14 }),
    fc.array(fc.nat(20), { minLength: 1, maxLength: 14 }),
  )

  test('when the newest candidates are consistent together, every order ends in the snapshot that holds them all', () => {
    fc.assert(
      fc.property(cases, ([arrivals, keys]) => {
        const newest = new Map(arrivals.map(({ id, candidate }) => [id, candidate]))
        const all = new Map(
          [...newest].flatMap(([id, candidate]) => (candidate.type === 'put' ? [[id, candidate.unit] as const] : [])),
        )
        fc.pre(isConsistent(all))
        const { active, candidates } = arrive(reorder(arrivals, keys))
        expect(new Map([...active].sort())).toEqual(new Map([...all].sort()))
        expect(candidates.size).toBe(0)
      }),
      { numRuns: 2000 },
    )
  })

  test('every order ends in a consistent snapshot, and was consistent at every step', () => {
    fc.assert(
      fc.property(cases, ([arrivals, keys]) => {
        for (const state of arrive(reorder(arrivals, keys)).history) expect(isConsistent(state)).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  test('nothing that served stops, unless its removal was asked for', () => {
    fc.assert(
      fc.property(cases, ([arrivals, keys]) => {
        const { history } = arrive(reorder(arrivals, keys))
        const removable = new Set(arrivals.filter(({ candidate }) => candidate.type === 'remove').map(({ id }) => id))
        const lost = history.flatMap((state, index) => {
          const later = history[index + 1] ?? state
          return [...state.keys()].filter((id) => !later.has(id) && !removable.has(id))
        })
        expect(lost).toEqual([])
      }),
      { numRuns: 2000 },
    )
  })
})
