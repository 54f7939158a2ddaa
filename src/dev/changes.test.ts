import { describe, expect, test } from '@jest/globals'
import type { BundleState, ItemState } from '../api/index.ts'
import { changesBetween, openProblems } from './changes.ts'

const hash = (letter: string) => letter.repeat(32)
const active = (letter: string): ItemState => ({ owner: 'dev', active: { revision: hash(letter), digest: hash('d') } })
const error = { reason: 'ToolNotFound', message: 'no tool' } as const
const waiting = (letter: string): ItemState['candidate'] => ({ revision: hash(letter), outcome: 'pending', error })

const items = (before: ItemState | undefined, after: ItemState | undefined) =>
  changesBetween(
    { items: before === undefined ? {} : { 'agents/a': before }, bundles: {} },
    { items: after === undefined ? {} : { 'agents/a': after }, bundles: {} },
  ).map(({ result, problem }) => (problem === undefined ? result : `${result} ${problem.reason}`))

describe('what changed of an item', () => {
  test.each<[string, ItemState | undefined, ItemState | undefined, string[]]>([
    ['came', undefined, active('a'), ['loaded']],
    ['has another revision', active('a'), active('b'), ['reloaded']],
    ['serves as before', active('a'), active('a'), []],
    ['went', active('a'), undefined, ['removed']],
    ['came and waits', undefined, { owner: 'dev', candidate: waiting('a') }, ['waiting ToolNotFound']],
    ['never served and went', { owner: 'dev', candidate: waiting('a') }, undefined, []],
    ['waits while the old serves', active('a'), { ...active('a'), candidate: waiting('b') }, ['waiting ToolNotFound']],
    ['waits as before', { ...active('a'), candidate: waiting('b') }, { ...active('a'), candidate: waiting('b') }, []],
    ['served what waited', { ...active('a'), candidate: waiting('b') }, active('b'), ['reloaded']],
    ['was taken back to what serves', { ...active('a'), candidate: waiting('b') }, active('a'), ['mended']],
    [
      'was refused',
      active('a'),
      { ...active('a'), candidate: { revision: hash('b'), outcome: 'rejected', error } },
      ['rejected ToolNotFound'],
    ],
  ])('that %s', (_what, before, after, results) => {
    expect(items(before, after)).toEqual(results)
  })

  test('is nothing when only its files changed: the bundle’s line tells that', () => {
    const other = { ...active('a'), active: { revision: hash('a'), digest: hash('e') } }
    expect(items(active('a'), other)).toEqual([])
  })
})

describe('what changed of a bundle', () => {
  const bundles = (before: BundleState, after: BundleState) =>
    changesBetween({ items: {}, bundles: { files: before } }, { items: {}, bundles: { files: after } })

  test('names the version that serves', () => {
    expect(bundles({ active: hash('a') }, { active: hash('b') })).toEqual([
      { unit: { type: 'bundle', name: 'files' }, result: 'reloaded', hash: hash('b') },
    ])
  })

  test('names the version that was refused', () => {
    const candidate = { hash: hash('b'), outcome: 'rejected', error } as const
    expect(bundles({ active: hash('a') }, { active: hash('a'), candidate })).toEqual([
      { unit: { type: 'bundle', name: 'files' }, result: 'rejected', problem: error, hash: hash('b') },
    ])
  })
})

test('open problems are all that is refused or waits', () => {
  const state = {
    items: { 'agents/a': active('a'), 'agents/b': { ...active('b'), candidate: waiting('c') } },
    bundles: {},
  }
  expect(openProblems(state)).toEqual([expect.objectContaining({ result: 'waiting', problem: error })])
})
