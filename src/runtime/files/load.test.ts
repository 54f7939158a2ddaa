import { describe, expect, test } from '@jest/globals'
import { createInThreadHost } from '../tools/index.ts'
import { MAX_FILE_BYTES } from './bounds.ts'
import { bundleFrom, problemFrom, type Sources } from './bundle.fixture.ts'
import { loadBundle } from './load.ts'

const options = { packages: [], timeoutMs: 1000 }
const TOOL = 'export default { description: "adds", execute: () => 3 }'
const EXTENSION = 'export default { execute() {} }'
const load = (sources: Sources) => loadBundle(bundleFrom(sources), createInThreadHost(), options)

describe('a bundle', () => {
  test.each([
    ['in folders', { 'tools/add.ts': TOOL, 'prompts/support.md': 'Hi' }],
    ['in a flat ConfigMap', { 'add.tool.ts': TOOL, 'support.prompt.md': 'Hi' }],
  ])('gives the same tools and prompts %s', async (_shape, sources) => {
    const loaded = await load(sources)
    expect(loaded.tools.tools.map(({ name, bundle }) => `${bundle}/${name}`)).toEqual(['support/add'])
    expect(loaded.prompts.get('support.md')?.text).toBe('Hi')
    expect(loaded).toMatchObject({ name: 'support', hash: bundleFrom(sources).hash, warnings: [] })
  })
  test('without files is empty', async () => {
    const loaded = await load({})
    expect([loaded.tools.tools.length, loaded.prompts.size]).toEqual([0, 0])
  })
  test('passes on what was warned of while it was read', async () => {
    const bundle = { ...bundleFrom({ 'tools/add.ts': TOOL }), warnings: ['left out "pic.png": large'] }
    expect((await loadBundle(bundle, createInThreadHost(), options)).warnings).toEqual(['left out "pic.png": large'])
  })
  test.each([
    ['in folders', { 'extensions/run_end/_10_trim.ts': EXTENSION, 'extensions/run_end/lib/x.ts': 'throw 1' }],
    ['in a flat ConfigMap', { '_10_trim.run_end.extension.ts': EXTENSION }],
  ])('gives the same extensions %s', async (_shape, sources) => {
    const { tools } = await load(sources)
    expect(tools.extensions).toMatchObject([{ name: '_10_trim', bundle: 'support', point: 'run_end' }])
  })
  test.each([
    ['extensions/trim.ts', 'names no point'],
    ['trim.extension.ts', 'names no point'],
    ['extensions/run_ends/trim.ts', 'names the point "run_ends"'],
    ['trim.runEnd.extension.ts', 'names the point "runEnd"'],
  ])('is refused with the list of points for %s', async (path, fault) => {
    const problem = await problemFrom(() => load({ [path]: EXTENSION }))
    expect(problem).toMatchObject({ reason: 'InvalidFileName', file: path })
    expect(problem.message).toContain(fault)
    expect(problem.message).toContain('run_start, before_model, after_model, before_tool, after_tool, run_end')
  })
})

describe('a bundle is refused as a whole', () => {
  const refusals: [string, Sources][] = [
    ['InvalidFileName', { 'a b.md': '' }],
    ['FileTooLarge', { x: new Uint8Array(MAX_FILE_BYTES + 1) }],
    ['IncludeNotFound', { 'tools/add.ts': TOOL, 'prompts/a.md': '{{include "b"}}' }],
    ['InvalidSyntax', { 'tools/add.ts': TOOL, 'tools/bad.ts': 'let x: = 3', 'prompts/a.md': '' }],
    ['FileNotText', { 'tools/add.ts': new Uint8Array([0xc3, 0x28]) }],
  ]
  test.each(refusals)('with %s', async (reason, sources) => {
    expect(await problemFrom(() => load(sources))).toMatchObject({ reason })
  })
})
