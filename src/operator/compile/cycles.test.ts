import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { agentSpec, type Resource } from '../../api/index.ts'
import { cyclesOf } from './cycles.ts'

const SPEC = agentSpec.parse({})
const agent = (name: string, ...agents: string[]): Resource => ({ kind: 'Agent', name, spec: { ...SPEC, agents } })
const messagesOf = (...resources: Resource[]) => [...cyclesOf(resources).values()].map(({ message }) => message)

test('the shortest chain back is told, from the first entry that leads back', () => {
  const [first] = messagesOf(agent('a', 'z', 'b', 'c'), agent('b', 'd', 'c'), agent('c', 'a'), agent('d', 'c'))
  expect(first).toBe(
    'spec.agents[1]: agents/a → agents/b → agents/c → agents/a: nothing may call itself, even through others',
  )
})

test('of a long chain the beginning and the end are told', () => {
  const many = Array.from({ length: 40 }, (_, index) => agent(`a${index}`, `a${(index + 1) % 40}`))
  expect(messagesOf(...many)[39]).toBe(
    'spec.agents[0]: agents/a39 → agents/a0 → … → agents/a39: nothing may call itself, even through others',
  )
})

test('chains and rings of any length are looked through', () => {
  const many = 20_000
  const chain = Array.from({ length: many }, (_, index) => agent(`a${index}`, `a${index + 1}`))
  expect(cyclesOf(chain).size).toBe(0)
  expect(cyclesOf([...chain, agent(`a${many}`, 'a0')]).size).toBe(many + 1)
})

test('exactly those that can come to call themselves are told, with the entry that begins a way back', () => {
  const graph = fc.array(fc.array(fc.nat(9), { maxLength: 4 }), { minLength: 1, maxLength: 10 })
  fc.assert(
    fc.property(graph, (edges) => {
      const reach = (from: number, seen = new Set<number>()): Set<number> => {
        for (const to of edges[from] ?? []) if (!seen.has(to)) reach(to, seen.add(to))
        return seen
      }
      const expected = edges.flatMap((called, from) => {
        const begins = called.findIndex((to) => to === from || reach(to).has(from))
        return begins < 0 ? [] : [[`agents/a${from}`, `spec.agents[${begins}]`]]
      })
      const resources = edges.map((called, index) => agent(`a${index}`, ...called.map((to) => `a${to}`)))
      expect([...cyclesOf(resources)].map(([id, { path }]) => [id, path])).toEqual(expected)
    }),
    { numRuns: 300, seed: 5 },
  )
})
