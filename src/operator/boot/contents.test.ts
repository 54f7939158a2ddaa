import { describe, expect, test } from '@jest/globals'
import { agent, push, settings } from '../../runtime/registry/registry.fixture.ts'
import type { Desired, PlacedItem } from '../ports.ts'
import { bootContents, type ContentsInput } from './contents.ts'
import { NO_SEEDS } from './seeds.ts'

const at = (revision: string): PlacedItem => ({ revision, definition: agent('a') })
const SETTINGS: PlacedItem = { revision: 's', definition: settings() }
const one = push({ 'tools/x.ts': 'one' })
const two = push({ 'tools/x.ts': 'two' })
const SECRET = { version: '1', value: 'v' }

const desired = (more: Partial<Desired> = {}): Desired => ({
  ...{ owner: 'operator', fence: 1, claim: 'team/main/uid', isWhole: true },
  ...{ held: new Set(), kept: new Set(), pins: new Map(), secrets: new Map(), keptSecrets: new Set() },
  items: new Map([
    ['settings', SETTINGS],
    ['agents/a', at('2')],
  ]),
  bundles: new Map([['files', two]]),
  ...more,
})
const served = (agents: Record<string, string>, files?: typeof one) => ({
  items: new Map([
    ['settings', SETTINGS],
    ...Object.entries(agents).map(([id, revision]) => [id, at(revision)] as const),
  ]),
  bundles: new Map(files ? [['files', files]] : []),
})
const input = (more: Partial<ContentsInput>): ContentsInput => ({
  ...{ desired: desired(), served: served({}), seeds: NO_SEEDS, mounted: new Map(), hasPassed: () => false },
  ...more,
})
const kept = (more: Partial<ContentsInput>) => {
  const contents = bootContents(input(more))
  return contents && [contents.items['agents/a']?.revision, contents.bundles.files?.hash]
}
const seeds = {
  items: new Map([['agents/a', at('0')]]),
  bundles: new Map([['files', one]]),
  secrets: new Map([['llm/k', SECRET]]),
}

describe('what a pod begins with', () => {
  test.each<[string, Partial<ContentsInput>, (string | undefined)[] | undefined]>([
    ['is what served last', { served: served({ 'agents/a': '1' }, one) }, ['1', one.hash]],
    [
      'is what served last, also when a check passed what waits now',
      { served: served({ 'agents/a': '1' }, one), hasPassed: () => true },
      ['1', one.hash],
    ],
    ['is what a check passed, where nothing of it served', { hasPassed: () => true }, ['2', two.hash]],
    ['is what the record says, where nobody knows better', { seeds }, ['0', one.hash]],
    ['is not what nobody knows to be good', {}, [undefined, undefined]],
    ['is not what is declared no more', { served: served({ 'agents/b': '1' }) }, [undefined, undefined]],
    [
      'is also what is impossible as declared now',
      {
        desired: desired({
          items: new Map([['settings', SETTINGS]]),
          bundles: new Map(),
          held: new Set(['agents/a']),
          kept: new Set(['files']),
        }),
        served: served({ 'agents/a': '1' }, one),
      },
      ['1', one.hash],
    ],
    ['is nothing while not everything may be placed', { desired: desired({ isWhole: false }), seeds }, undefined],
    [
      'is nothing while no settings are known to be good',
      { served: { items: new Map(), bundles: new Map() } },
      undefined,
    ],
  ])('%s', (_what, more, expected) => {
    expect(kept(more)).toEqual(expected)
  })

  test('has the bundles of settings that are impossible as declared, and their secrets', () => {
    const held = desired({
      items: new Map([['agents/a', at('1')]]),
      held: new Set(['settings']),
      ...{ bundles: new Map(), kept: 'all', keptSecrets: 'all' },
    })
    const contents = bootContents(input({ desired: held, served: served({ 'agents/a': '1' }, one), seeds }))
    expect([contents?.items.settings?.revision, contents?.bundles.files?.hash]).toEqual(['s', one.hash])
    expect(contents?.secrets).toEqual({ 'llm/k': SECRET })
  })

  test('has the secrets as they are now, and those of which nothing is known as they were', () => {
    const now = { version: '2', value: 'w' }
    const rotated = desired({ secrets: new Map([['llm/k', now]]) })
    expect(bootContents(input({ desired: rotated, seeds }))?.secrets).toEqual({ 'llm/k': now })
    const unknown = desired({ keptSecrets: new Set(['llm/k']) })
    expect(bootContents(input({ desired: unknown, seeds }))?.secrets).toEqual({ 'llm/k': SECRET })
    expect(bootContents(input({ seeds }))?.secrets).toEqual({})
  })

  test('has the pins of what it has, and may do without what is mounted as it is', () => {
    const pins = new Map([
      ['files', one.hash],
      ['other', two.hash],
    ])
    const contents = bootContents(
      input({ desired: desired({ pins }), served: served({}, one), mounted: new Map([['files', one.hash]]) }),
    )
    expect(contents).toMatchObject({ pins: { files: one.hash }, spare: ['files'] })
    expect(Object.keys(contents?.pins ?? {})).toEqual(['files'])
    const other = bootContents(input({ served: served({}, one), mounted: new Map([['files', two.hash]]) }))
    expect(other?.spare).toEqual([])
  })
})
