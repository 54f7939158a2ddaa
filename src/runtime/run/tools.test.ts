import { describe, expect, test } from '@jest/globals'
import { makeSnapshot, type TestTool } from './snapshot.fixture.ts'
import { effectiveTools } from './tools.ts'

const tool: TestTool = { execute: () => null }
const snapshot = makeSnapshot({
  agents: {
    billing: { description: 'Knows invoices', role: 'clerk' },
    legal: { role: 'a lawyer' },
    refund: {},
  },
  bundles: {
    support: { tools: { refund: tool, calendar_add: tool, calendar_list: tool } },
    'my.shop': { tools: { refund: tool, calendar_add: tool, weather: tool } },
  },
})
const toolsOf = (tools: string[], agents: string[] = []) =>
  effectiveTools(snapshot, { tools, agents }).map(({ name, target }) => [
    name,
    target.type === 'agent'
      ? `agent ${target.name}`
      : `${target.served.description.bundle}/${target.served.description.name}`,
  ])

describe('the tools of an agent', () => {
  test.each<[string, string[], string[], string[][]]>([
    ['a name means the first bundle that has it', ['refund'], [], [['refund', 'support/refund']]],
    ['bundle/name means that bundle', ['my.shop/refund'], [], [['refund', 'my.shop/refund']]],
    [
      'a glob means every bare name it fits',
      ['calendar_*'],
      [],
      [
        ['calendar_add', 'support/calendar_add'],
        ['calendar_list', 'support/calendar_list'],
      ],
    ],
    ['a glob in a bundle stays in it', ['my.shop/cal*'], [], [['calendar_add', 'my.shop/calendar_add']]],
    ['what two patterns mean counts once', ['weather', 'w*', 'my.shop/weather'], [], [['weather', 'my.shop/weather']]],
    ['what is not there adds nothing', ['nope', 'x*', 'none/refund', '__proto__'], ['nobody'], []],
    [
      'the second of one name is called by its bundle, in a form that models take',
      ['refund', 'my.shop/refund'],
      [],
      [
        ['refund', 'support/refund'],
        ['my-shop-refund', 'my.shop/refund'],
      ],
    ],
    [
      'a tool keeps its name before an agent',
      ['refund'],
      ['refund', 'billing'],
      [
        ['refund', 'support/refund'],
        ['agent-refund', 'agent refund'],
        ['billing', 'agent billing'],
      ],
    ],
  ])('%s', (_, tools, agents, wanted) => {
    expect(toolsOf(tools, agents)).toEqual(wanted)
  })

  test('an agent is described by its description, else its role, and takes a message', () => {
    const [billing, legal, refund] = effectiveTools(snapshot, { tools: [], agents: ['billing', 'legal', 'refund'] })
    expect([billing, legal, refund].map((entry) => entry?.description)).toEqual([
      'Knows invoices',
      'a lawyer',
      'Asks the agent refund',
    ])
    expect(billing?.parameters).toMatchObject({ required: ['message'], properties: { message: { type: 'string' } } })
  })

  test('names stay unique and short, however many clash', () => {
    const long = 'n'.repeat(64)
    const clash = makeSnapshot({
      bundles: Object.fromEntries(['a', 'b-n', 'c'].map((name) => [name, { tools: { [long]: tool } }])),
    })
    const names = effectiveTools(clash, { tools: [`a/${long}`, `b-n/${long}`, `c/${long}`], agents: [] }).map(
      ({ name }) => name,
    )
    expect(new Set(names).size).toBe(3)
    expect(names.every((name) => /^[a-zA-Z0-9_-]{1,64}$/.test(name))).toBe(true)
  })
})
