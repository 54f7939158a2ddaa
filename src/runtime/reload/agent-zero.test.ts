import { appendFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { createMounts } from '../../dev/mounts.ts'
import { directoryWith, type Sources } from '../files/bundle.fixture.ts'
import type { ReloadEvent } from './callbacks.ts'
import { type Followed, following, toolFrom, toolSaying, until } from './reload.fixture.ts'

const follow = (sources: Sources, hotReload = true): Promise<Followed> => following(createMounts, sources, hotReload)

const WEATHER = 'tools/weather.ts'
const BROKEN = 'export default {'

const saysNow = (followed: Followed, text: string): Promise<void> =>
  until(`weather says ${text}`, async () => (await followed.call('weather')) === text)
const failures = ({ runtime }: Followed): number => runtime.hotReload.stats().stats.failures

/** Saves a file that is refused, and waits for that. */
async function breakIt(followed: Followed, source = BROKEN): Promise<void> {
  const before = failures(followed)
  await followed.write(WEATHER, source)
  await until('the refusal is counted', () => failures(followed) > before)
}

describe('the defects of Agent Zero’s hot reload are not ours:', () => {
  test('1: a failure after one good load leaves no half-evaluated module behind', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1') })
    await breakIt(followed, `export const half = 2\nthrow new Error('half way')\n`)
    expect(await followed.call('weather')).toBe('1')
    expect(followed.runtime.hotReload.modules()).toMatchObject([{ module_name: 'tools.weather', error_count: 1 }])
    expect(followed.runtime.hotReload.history.list({ limit: 1 })[0]).toMatchObject({
      result: 'rejected',
      error: { file: WEATHER, line: 2 },
    })
    await followed.write(WEATHER, toolSaying('2'))
    await saysNow(followed, '2')
  })

  test('2: after good versions 3 and 4 a broken one leaves version 4, not 3', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1') })
    for (const text of ['2', '3', '4']) {
      await followed.write(WEATHER, toolSaying(text))
      await saysNow(followed, text)
    }
    await breakIt(followed)
    expect(await followed.call('weather')).toBe('4')
  })

  test('3: a failed reload of what was loaded counts as a failure, and not as a success', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1') })
    await followed.write(WEATHER, toolSaying('2'))
    await saysNow(followed, '2')
    expect(followed.runtime.hotReload.stats().stats).toMatchObject({ reloads: 1, successes: 1, failures: 0 })
    await breakIt(followed)
    expect(followed.runtime.hotReload.stats().stats).toMatchObject({ reloads: 2, successes: 1, failures: 1 })
  })

  test('4: the graph knows who imports what, also after it changed', async () => {
    await using followed = await follow({
      [WEATHER]: toolFrom('../lib/text.ts'),
      'tools/other.ts': toolFrom('../lib/text.ts'),
      'lib/text.ts': `export { text } from './deep.ts'\n`,
      'lib/deep.ts': `export const text = '1'\n`,
    })
    const { hotReload } = followed.runtime
    expect(hotReload.getReloadOrder('lib.deep')).toEqual(['lib.deep', 'lib.text', 'tools.other', 'tools.weather'])
    expect(hotReload.getReloadOrder('files/lib/text.ts')).toEqual([
      'files/lib/text.ts',
      'files/tools/other.ts',
      'files/tools/weather.ts',
    ])
    expect(hotReload.getReloadOrder('tools.nope')).toEqual([])
    expect(hotReload.analyzeDependencies().get('lib.text')).toEqual({
      dependencies: ['lib.deep'],
      dependents: ['tools.other', 'tools.weather'],
    })
    await followed.write('lib/deep.ts', `export const text = '2'\n`)
    await saysNow(followed, '2')
    await followed.write(WEATHER, toolSaying('alone'))
    await saysNow(followed, 'alone')
    expect(hotReload.analyzeDependencies().get('lib.text')?.dependents).toEqual(['tools.other'])
  })

  test('5: the last write of a burst counts, and a save by rename is seen', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('0') })
    for (let version = 1; version <= 20; version++) await followed.write(WEATHER, toolSaying(`burst ${version}`))
    await saysNow(followed, 'burst 20')
    const aside = join(followed.directory, 'weather.swp')
    await writeFile(aside, toolSaying('renamed'))
    await rename(aside, join(followed.directory, WEATHER))
    await saysNow(followed, 'renamed')
    const whole = toolSaying('in two parts')
    await followed.write(WEATHER, whole.slice(0, 20))
    await appendFile(join(followed.directory, WEATHER), whole.slice(20))
    await saysNow(followed, 'in two parts')
  })

  test('6: a tool that was deleted is gone, callbacks get the module, and status tells enabled from running', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1'), 'tools/other.ts': toolSaying('other') })
    const { hotReload, registry } = followed.runtime
    const events: ReloadEvent[] = []
    hotReload.addReloadCallback((event) => void events.push(event))
    await followed.remove('tools/other.ts')
    await until('the callback', () => events.length === 1)
    expect([...registry.current.tools.keys()].sort()).toEqual(['files/weather', 'weather'])
    const about = { path: 'files/tools/other.ts', event_type: 'deleted', module_path: 'tools.other' }
    expect(events).toEqual([{ ...about, timestamp: expect.closeTo(Date.now() / 1000, -1) }])
    await using disabled = await follow({ [WEATHER]: toolSaying('1') }, false)
    expect(disabled.runtime.hotReload.status()).toMatchObject({ enabled: false, status: 'stopped' })
    expect(hotReload.status()).toMatchObject({ enabled: true, status: 'running' })
  })

  test('7: prompts are checked, and a slow callback holds nothing up', async () => {
    await using followed = await follow({ 'prompts/support.md': 'Be kind.' })
    const { hotReload, registry } = followed.runtime
    hotReload.addReloadCallback(() => new Promise(() => undefined))
    await followed.write('prompts/support.md', 'Be {{include "gone.md"}}.')
    await until('the refusal', () => failures(followed) === 1)
    expect(registry.current.bundles.get('files')?.prompts.get('support.md')?.text).toBe('Be kind.')
    await followed.write('prompts/support.md', 'Be kinder.')
    await until('the mended prompt', () => hotReload.stats().stats.successes === 1)
    expect(registry.current.bundles.get('files')?.prompts.get('support.md')?.text).toBe('Be kinder.')
  })
})

describe('its document’s own numbers hold:', () => {
  test('a change is detected in less than 10 ms and reloaded within 500 ms of the last write, prompt or tool', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('0'), 'prompts/a.md': 'one' })
    const totals: number[] = []
    const detected: number[] = []
    for (let version = 1; version <= 20; version++) {
      await followed.write(WEATHER, `${toolSaying(`version ${version}`)}// An edit leaves the end as it is.\n`)
      const written = performance.now()
      await saysNow(followed, `version ${version}`)
      totals.push(performance.now() - written)
      detected.push(followed.runtime.hotReload.history.list({ limit: 1 })[0]?.stages.detect ?? Number.NaN)
    }
    expect(Math.max(...totals)).toBeLessThan(500)
    expect(detected.toSorted((a, b) => a - b)[10]).toBeLessThan(10)
  })
})

describe('its log lines', () => {
  test('tell the start, and each reload', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1') })
    expect(followed.messages()).toEqual([
      'Hot-reload manager initialized',
      'Hot-reload file watcher started',
      'Hot-reload system initialized',
    ])
    followed.lines.length = 0
    await followed.write(WEATHER, toolSaying('2'))
    await saysNow(followed, '2')
    expect(followed.messages()).toEqual([
      'Hot-Reload: MODIFIED - weather.ts',
      'Reloading module: tools.weather',
      'Successfully reloaded: tools.weather',
      'Tools cache invalidated',
    ])
  })

  test('tell what was refused, with its place', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1') })
    followed.lines.length = 0
    await breakIt(followed)
    expect(followed.messages()).toEqual(['Hot-Reload: MODIFIED - weather.ts', 'Failed to reload: tools.weather'])
    expect(followed.lines[1]).toMatchObject({ level: 'warn', fields: { bundle: 'files', reason: 'InvalidSyntax' } })
  })

  test('tell that it is disabled', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1') }, false)
    expect(followed.messages()).toEqual(['Hot-reload disabled'])
  })
})

describe('while hot reload is disabled', () => {
  test('a directory is read once; what is pushed counts', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1') }, false)
    const { registry } = followed.runtime
    await followed.write(WEATHER, toolSaying('2'))
    await using watching = await follow({ [WEATHER]: toolSaying('1') })
    await watching.write(WEATHER, toolSaying('2'))
    await saysNow(watching, '2')
    expect(await followed.call('weather')).toBe('1')
    const [files] = [...watching.runtime.registry.current.bundles.values()].map(({ source }) => source)
    if (files === undefined) throw new Error('nothing serves')
    await registry.offer(files)
    expect(await followed.call('weather')).toBe('2')
  })
})

describe('a module', () => {
  test('is told with its loads, failures and last working content', async () => {
    await using followed = await follow({ [WEATHER]: toolFrom('../lib.ts'), 'lib.ts': `export const text = '1'\n` })
    const { hotReload } = followed.runtime
    await followed.write('lib.ts', `export const text = '2'\n`)
    await saysNow(followed, '2')
    await breakIt(followed)
    expect(hotReload.modules()).toEqual([
      {
        module_name: 'lib',
        file_path: 'files/lib.ts',
        last_loaded: expect.stringMatching(/Z$/),
        dependencies: [],
        dependents: ['tools.weather'],
        load_count: 2,
        error_count: 0,
        last_working_module: expect.stringMatching(/^[0-9a-f]{32}$/),
      },
      expect.objectContaining({ module_name: 'tools.weather', dependencies: ['lib'], error_count: 1 }),
    ])
    expect(hotReload.stats().stats.cache_stats).toMatchObject({ total_modules: 2, total_errors: 1 })
  })

  test('is forgotten when its file is deleted', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1'), 'tools/other.ts': toolSaying('other') })
    await followed.remove('tools/other.ts')
    await until('it is gone', () => followed.runtime.hotReload.modules().length === 1)
    expect(followed.runtime.hotReload.stats().stats.cache_stats.total_modules).toBe(1)
  })
})

describe('a watch of one more directory', () => {
  test('tells of the files that match, until it ends', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1') })
    const extra = await directoryWith({ 'a.md': '1', 'deep/b.md': '1', 'c.txt': '1' })
    const events: string[] = []
    followed.runtime.hotReload.addReloadCallback(({ path, event_type }) => void events.push(`${event_type} ${path}`))
    const end = followed.runtime.hotReload.addWatch({ path: extra.path, patterns: ['*.md'] })
    await writeFile(join(extra.path, 'c.txt'), '2')
    await writeFile(join(extra.path, 'deep/b.md'), '2')
    await until('the callback', () => events.length > 0)
    expect(events).toEqual([`modified ${join(extra.path, 'deep/b.md')}`])
    await end()
    await extra.remove()
  })

  test('of a missing directory is warned of and skipped', async () => {
    await using followed = await follow({ [WEATHER]: toolSaying('1') })
    await followed.runtime.hotReload.addWatch({ path: '/no/such/place', patterns: ['*'] })()
    expect(followed.lines.at(-1)).toMatchObject({ level: 'warn', message: 'Watch path does not exist: /no/such/place' })
  })
})

test('metrics count a reload with each of its stages, and a refusal by its reason', async () => {
  await using followed = await follow({ [WEATHER]: toolSaying('1') })
  await followed.write(WEATHER, toolSaying('2'))
  await saysNow(followed, '2')
  await breakIt(followed)
  const text = await followed.runtime.metricsText()
  const countOf = (stage: string) =>
    Number(new RegExp(`^midflight_reload_duration_seconds_count{stage="${stage}"} (\\d+)$`, 'm').exec(text)?.[1])
  expect(['detect', 'read', 'load', 'activate', 'total'].map(countOf)).toEqual([3, 3, 3, 3, 3])
  expect(['transform', 'check'].map(countOf)).toEqual([2, 2])
  expect(text).toContain('midflight_reload_failures_total{reason="InvalidSyntax"} 1')
})
