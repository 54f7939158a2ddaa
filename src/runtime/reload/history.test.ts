import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { bundleOf, reloadRecord } from '../../api/index.ts'
import { bundleFrom } from '../files/bundle.fixture.ts'
import type { Settlement } from '../registry/observer.ts'
import { ReloadHistory } from './history.ts'
import { fileChanges } from './record.ts'

const timing = { loadMs: 2, swapMs: 1 }

/** A bundle arrived and serves. */
const activated = (name: string, text: string): Settlement => {
  const arrived = bundleFrom({ 'prompts/a.md': text }, name)
  const result = { outcome: 'activated', revision: arrived.hash } as const
  return { id: `bundles/${name}`, source: 'mount', result, timing, bundle: { name, arrived } }
}
const rejected = (name: string, text: string, message = 'no'): Settlement => ({
  ...activated(name, text),
  result: { outcome: 'rejected', revision: 'x', error: { reason: 'InvalidSyntax', message } },
})
const historyOf = (capacity = 10) => new ReloadHistory({ bootId: 'boot', now: () => 0, capacity })

describe('the history of reloads', () => {
  test('tells files against the version before, served or not, and the stages that were measured', () => {
    const history = historyOf()
    history.settled(activated('b', '1'))
    history.settled({ ...rejected('b', '2'), noticed: { detectMs: 3, readMs: 4 } })
    const [record] = history.list({ limit: 1 })
    expect(record).toEqual({
      id: 'boot/2',
      at: '1970-01-01T00:00:00.000Z',
      bundle: 'b',
      source: 'mount',
      result: 'rejected',
      hash: 'x',
      files: [{ path: 'prompts/a.md', change: 'modified' }],
      reloaded: [],
      kept: [],
      stages: { detect: 3, read: 4, load: 2, activate: 1 },
      error: { reason: 'InvalidSyntax', message: 'no' },
    })
    expect(reloadRecord.parse(record)).toEqual(record)
  })

  test('tells files that went back to what serves, and nothing of what stayed the same', () => {
    const history = historyOf()
    const same = { ...activated('b', '1'), result: { outcome: 'unchanged' } } as const
    history.settled(activated('b', '1'))
    expect(history.settled(same)).toBeUndefined()
    history.settled(rejected('b', '2'))
    expect(history.settled(same)?.record).toMatchObject({ result: 'unchanged', files: [{ change: 'modified' }] })
  })

  test('tells what a pin keeps back once, with its files, and once more when it serves', () => {
    const history = historyOf()
    history.settled(activated('b', '1'))
    const held: Settlement = {
      ...activated('b', '2'),
      result: { outcome: 'pending', revision: 'x', error: { reason: 'Pinned', message: 'waits' } },
    }
    expect(history.settled(held)?.record).toMatchObject({
      result: 'pending',
      files: [{ change: 'modified' }],
      error: { reason: 'Pinned' },
    })
    expect(history.settled(held)).toBeUndefined()
    expect(history.settled(activated('b', '2'))?.record).toMatchObject({ result: 'activated', files: [] })
  })

  test('tells a removal as deleted files, and what comes afterwards as created ones', () => {
    const history = historyOf()
    history.settled(activated('b', '1'))
    const gone: Settlement = { ...activated('b', '1'), result: { outcome: 'activated' }, bundle: { name: 'b' } }
    expect(history.settled(gone)?.record).toMatchObject({ result: 'removed', files: [{ change: 'deleted' }] })
    expect(history.settled(activated('b', '1'))).toMatchObject({ isFirst: true, changes: [{ change: 'created' }] })
  })

  test('tells the removal of what never served, and nothing of what was never there', () => {
    const history = historyOf()
    const gone = (name: string): Settlement => ({
      ...activated(name, ''),
      result: { outcome: 'unchanged' },
      bundle: { name },
    })
    history.settled(rejected('b', '1'))
    expect(history.settled(gone('b'))?.record).toMatchObject({ result: 'removed', files: [{ change: 'deleted' }] })
    expect(history.settled(gone('b'))).toBeUndefined()
    expect(history.settled(rejected('b', '1'))).toMatchObject({ isFirst: true })
  })

  test('bounds texts and lists, and counts what it cut', () => {
    const files = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`${index}.txt`, '']))
    const settlement = {
      ...rejected('b', '', 'x'.repeat(9_999)),
      bundle: { name: 'b', arrived: bundleFrom(files, 'b') },
    }
    const record = historyOf().settled(settlement)?.record
    expect(record?.files).toHaveLength(50)
    expect(record?.more).toEqual({ files: 10 })
    expect(record?.error?.message).toHaveLength(2_001)
  })

  test('is filtered by bundle and result', () => {
    const history = historyOf()
    for (const settlement of [activated('a', '1'), rejected('b', '1'), rejected('a', '2')]) history.settled(settlement)
    const ids = (filter: object) => history.list({ limit: 10, ...filter }).map(({ id }) => id)
    expect(ids({ bundle: 'a' })).toEqual(['boot/3', 'boot/1'])
    expect(ids({ result: 'rejected' })).toEqual(['boot/3', 'boot/2'])
    expect(ids({ bundle: 'a', result: 'rejected', limit: 1 })).toEqual(['boot/3'])
  })

  test('gives every reader the records after the last that it saw, or a reset when some are gone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(30), fc.nat(40), async (written, lastSeen) => {
        const history = historyOf(8)
        for (let version = 1; version <= written; version++) history.settled(activated('b', `${version}`))
        const stop = new AbortController()
        const events: string[] = []
        const reading = (async () => {
          for await (const { type, id } of history.follow(stop.signal, `boot/${lastSeen}`)) events.push(`${type} ${id}`)
        })()
        await new Promise(setImmediate)
        history.settled(activated('b', 'last'))
        await new Promise(setImmediate)
        stop.abort()
        await reading
        const isMissing = lastSeen > written || lastSeen < written - 8
        const first = isMissing ? written + 1 : lastSeen + 1
        const wanted = Array.from({ length: written + 2 - first }, (_, index) => `reload boot/${first + index}`)
        expect(events).toEqual([...(isMissing ? [`reset boot/${written}`] : []), ...wanted])
      }),
      { numRuns: 200, seed: 61 },
    )
  })

  test('resets a reader from another process', async () => {
    const history = historyOf()
    history.settled(activated('b', '1'))
    for await (const event of history.follow(AbortSignal.timeout(1_000), 'elsewhere/1')) {
      expect(event).toEqual({ type: 'reset', id: 'boot/1' })
      break
    }
  })
})

test('the changes between two versions make the one out of the other', () => {
  const files = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom('1', '2', '3'))
  const bundle = (texts: Record<string, string>) =>
    bundleOf('b', new Map(Object.entries(texts).map(([path, text]) => [path, Buffer.from(text)])))
  fc.assert(
    fc.property(files, files, (before, after) => {
      const made: Record<string, string> = { ...before }
      for (const { path, change } of fileChanges(bundle(before), bundle(after))) {
        expect(change).toBe(!(path in before) ? 'created' : !(path in after) ? 'deleted' : 'modified')
        if (change === 'deleted') delete made[path]
        else made[path] = after[path] ?? ''
      }
      expect(bundle(made).hash).toBe(bundle(after).hash)
    }),
    { numRuns: 300, seed: 62 },
  )
})
