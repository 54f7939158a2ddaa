import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { z } from 'zod'
import {
  agentSpec,
  type Definition,
  definitionRevision,
  digestOf,
  hashJson,
  KINDS,
  revisionOf,
  settingsSpec,
  teamSpec,
  workflowSpec,
} from './index.ts'

const agentDefinition = (spec: object): Definition => ({ kind: 'Agent', name: 'a', spec: agentSpec.parse(spec) })

describe('revision', () => {
  test('is the same whether a default is written out, left out, or written in another order', () => {
    const bare = revisionOf(agentSpec, agentSpec.parse({ instructions: 'x', tools: ['a'] }))
    const full = {
      tools: ['a'],
      limits: {},
      maxSteps: 20,
      toolChoice: 'auto',
      instructions: 'x',
      agents: [],
      runtime: 'default',
    }
    expect(revisionOf(agentSpec, agentSpec.parse(full))).toBe(bare)
  })

  test('changes with every field that differs from its default', () => {
    const specs = [
      {},
      { role: 'r' },
      { maxSteps: 21 },
      { limits: { timeoutSeconds: 1 } },
      { modelParameters: { seed: 0 } },
    ]
    expect(new Set(specs.map((spec) => revisionOf(agentSpec, agentSpec.parse(spec)))).size).toBe(specs.length)
  })

  test('does not change when a later version adds a field with a default, at any depth', () => {
    const v1 = z.strictObject({
      a: z.string(),
      limits: z.strictObject({ seconds: z.int().default(3) }).default({ seconds: 3 }),
    })
    const v2 = z.strictObject({
      a: z.string(),
      added: z.array(z.string()).default([]),
      limits: z
        .strictObject({ seconds: z.int().default(3), runs: z.int().default(9) })
        .default({ seconds: 3, runs: 9 }),
    })
    for (const spec of [{ a: 'x' }, { a: 'x', limits: {} }, { a: 'x', limits: { seconds: 5 } }]) {
      expect(revisionOf(v2, v2.parse(spec))).toBe(revisionOf(v1, v1.parse(spec)))
    }
  })

  test('holds for any agent: parsing what was parsed, keys in any order, changes nothing', () => {
    const spec = fc.record(
      {
        role: fc.string({ maxLength: 20 }),
        instructions: fc.string({ maxLength: 50, unit: 'grapheme' }),
        maxSteps: fc.integer({ min: 1, max: 100 }),
        tools: fc.uniqueArray(fc.stringMatching(/^[a-z]{1,8}$/), { maxLength: 5 }),
        toolChoice: fc.constantFrom('auto', 'none', 'required'),
        limits: fc.record({ timeoutSeconds: fc.integer({ min: 1, max: 86_400 }) }, { requiredKeys: [] }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(spec, fc.infiniteStream(fc.nat()), (declared, order) => {
        const parsed = agentSpec.parse(declared)
        const shuffled = Object.fromEntries(
          Object.entries(parsed)
            .map((entry) => [order.next().value ?? 0, entry] as const)
            .sort(([a], [b]) => a - b)
            .map(([, entry]) => entry),
        )
        expect(revisionOf(agentSpec, agentSpec.parse(shuffled))).toBe(revisionOf(agentSpec, parsed))
      }),
    )
  })

  test('covers the title that AgentOS calls give', () => {
    const untitled = agentDefinition({})
    expect(definitionRevision({ ...untitled, title: 'A' } as Definition)).not.toBe(definitionRevision(untitled))
  })

  // Hashes that this version published. They may never change: every item of every cluster would be applied again.
  test.each([
    ['Agent, all defaults', agentDefinition({}), '44136fa355b3678a1146ad16f7e8649e'],
    [
      'Agent',
      agentDefinition({
        role: 'helper',
        instructions: 'Müller',
        tools: ['weather', 'calendar_*'],
        limits: { timeoutSeconds: 60 },
      }),
      '15613aae827eee40d7bff55b9916ab14',
    ],
    [
      'Team',
      { kind: 'Team', name: 't', spec: teamSpec.parse({ members: [{ agent: 'a', role: 'r' }, { team: 'u' }] }) },
      '5e1bee86d6f51630f767f50e4c6d86cf',
    ],
    [
      'Workflow',
      {
        kind: 'Workflow',
        name: 'w',
        spec: workflowSpec.parse({ steps: [{ name: 's', tool: 'x', input: { n: 1.5, deep: [null, true] } }] }),
      },
      '857847014ec098ced00395c048e96cb0',
    ],
    [
      'Settings',
      {
        kind: 'Settings',
        name: 'default',
        spec: settingsSpec.parse({
          models: [{ name: 'm', provider: 'openai', model: 'gpt', parameters: { temperature: 0.2 } }],
          bundles: [{ name: 'b', configMap: 'c' }],
        }),
      },
      'c32c9004366861a42efd2ea5e17a736f',
    ],
  ] satisfies [string, Definition, string][])('golden: %s', (_name, definition, golden) => {
    expect(definitionRevision(definition)).toBe(golden)
  })
})

describe('digest', () => {
  test('depends on revision, bundles and settings, and not on the order of bundles', () => {
    const base = { revision: 'a'.repeat(32), bundles: { x: '1', y: '2' }, settings: 'b'.repeat(32) }
    const digest = digestOf(base)
    expect(digestOf({ ...base, bundles: { y: '2', x: '1' } })).toBe(digest)
    for (const other of [
      { revision: 'c' },
      { settings: 'c' },
      { bundles: { x: '1' } },
      { bundles: { x: '1', y: '3' } },
    ]) {
      expect(digestOf({ ...base, ...other })).not.toBe(digest)
    }
  })
})

describe('hashJson', () => {
  test('is the hash of the RFC 8785 form', () => {
    expect(hashJson({ b: 2, a: '€' })).toBe(hashJson({ a: '\u20ac', b: 2.0 }))
  })
})

test('every kind has a spec that parses its own defaults again', () => {
  for (const { spec } of Object.values(KINDS)) {
    const minimal = spec.safeParse({ members: [{ agent: 'a' }] }).success
      ? { members: [{ agent: 'a' }] }
      : spec.safeParse({}).success
        ? {}
        : { steps: [{ name: 's', agent: 'a' }] }
    const parsed = spec.parse(minimal)
    expect(spec.parse(parsed)).toEqual(parsed)
  }
})
