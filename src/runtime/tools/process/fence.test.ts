import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { problemFrom } from '../../files/bundle.fixture.ts'
import type { ToolSet } from '../port.ts'
import { callOf, toolOf, triedHost } from './process.fixture.ts'

// A process takes its time to start where others want the CPU.
jest.setTimeout(60_000)

const tried = triedHost({ restartDelay: () => 0 })
let set: ToolSet
beforeAll(async () => {
  const run = `({ code }) => new (async () => undefined).constructor(code)()`
  set = await tried.load({
    'tools/run.ts': toolOf(run, `parameters: { type: 'object' },`),
    'tools/one.ts': toolOf('() => 1'),
  })
})
afterAll(() => tried.close())

/** What the body of an async function returns in a host. */
const within = (code: string): Promise<unknown> => callOf(set, 'run', { code })
/** Node's modules come by a way that tools should not know. */
const importing = (module: string) => `const m = await (0, eval)('import("node:${module}")');`

describe('code in a host', () => {
  test('has no environment', async () => {
    expect(await within('return process.env')).toEqual({})
  })
  test('reads neither files of the runtime nor its environment', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'midflight-'))
    await writeFile(join(folder, 'token'), 'secret')
    const files = [join(folder, 'token'), '/etc/passwd', `/proc/${process.pid}/environ`, `/proc/${process.pid}/mem`]
    const read = (file: string) => `${importing('fs')} return m.readFileSync(${JSON.stringify(file)}, 'latin1')`
    for (const file of files)
      expect((await problemFrom(() => within(read(file)))).message).toMatch(/restricted.*--allow-fs-read/)
    await rm(folder, { recursive: true })
  })
  test('writes no file', async () => {
    const write = `${importing('fs')} m.writeFileSync(${JSON.stringify(join(tmpdir(), 'midflight-write'))}, 'x')`
    expect((await problemFrom(() => within(write))).message).toMatch(/restricted.*--allow-fs-write/)
  })
  test('writes no file by node:sqlite', async () => {
    const file = join(tmpdir(), `midflight-${process.pid}.db`)
    const write = `${importing('sqlite')} new m.DatabaseSync(${JSON.stringify(file)}).exec('create table t (a)')`
    expect((await problemFrom(() => within(write))).message).toMatch(/node:sqlite/)
    expect(existsSync(file)).toBe(false)
  })
  test.each([
    ['child_process', `m.spawnSync('true')`, /restricted.*--allow-child-process/],
    ['worker_threads', `new m.Worker('0', { eval: true })`, /restricted.*--allow-worker/],
  ])('starts nothing by node:%s', async (module, code, says) => {
    expect((await problemFrom(() => within(`${importing(module)} ${code}`))).message).toMatch(says)
  })
  test.each(['kill', '_kill', 'binding', '_linkedBinding', 'dlopen', 'getBuiltinModule', 'execve', '_debugProcess'])(
    'has no process.%s',
    async (name) => {
      const call = `return process[${JSON.stringify(name)}](process.ppid, 'SIGKILL')`
      expect((await problemFrom(() => within(call))).message).toContain(`process.${name} is not there for tools`)
    },
  )
  test('changes the priority of no process', async () => {
    for (const os of ['m', 'm.default']) {
      const call = `${importing('os')} ${os}.setPriority(process.ppid, ${getPriority()})`
      expect((await problemFrom(() => within(call))).message).toContain('os.setPriority is not there for tools')
    }
  })
  test('has no channel to talk over', async () => {
    expect(await within('return [typeof process.connected, process.env.NODE_CHANNEL_FD ?? null]')).toEqual([
      'undefined',
      null,
    ])
    expect((await problemFrom(() => within('process.send({})'))).message).toContain(
      'process.send is not there for tools',
    )
  })
  test('reaches the network', async () => {
    expect(await within(`return (await fetch('data:text/plain,hello')).text()`)).toBe('hello')
    const refused = await problemFrom(() => within(`await fetch('http://127.0.0.1:9/')`))
    expect(refused.message).not.toMatch(/restricted/)
  })
})

describe('code that changes what all code shares', () => {
  const PATCHES: readonly (readonly [string, string])[] = [
    ['Array.prototype', `for (const name of ['push', 'map', 'join', Symbol.iterator]) Array.prototype[name] = null`],
    ['Object.prototype', `Object.prototype.get = 1; Object.prototype.value = 2; Object.prototype.type = 'fatal'`],
    ['JSON', `JSON.stringify = () => 'nonsense'; JSON.parse = () => ({})`],
    [
      'Buffer',
      `Buffer.from = Buffer.alloc = Buffer.allocUnsafe = Buffer.byteLength = null; Buffer.prototype.write = null`,
    ],
    ['promises', `Promise.prototype.then = null; Promise.resolve = null; AbortController.prototype.abort = null`],
    ['Map and Set', `Map.prototype.get = Map.prototype.set = Set.prototype.add = null`],
    ['Function.prototype', `Function.prototype.call = Function.prototype.apply = Function.prototype.bind = null`],
    [
      'timers and process',
      `globalThis.setTimeout = null; process.exit = null; process.emit = null; process.reallyExit = null`,
    ],
  ]
  test.each(PATCHES)('of %s gets an answer, or its caller an error that says so', async (_, patch) => {
    const outcome = await within(`${patch}; return 'done'`).catch((error: unknown) => error)
    // A promise without `then` is an object like any other, and that is what its tool returns.
    if (!(outcome instanceof Error)) expect(['done', {}]).toContainEqual(outcome)
    else expect(outcome.message).not.toContain('aborted')
    // The next test gets a host that nothing was changed in.
    await within('process.abort()').catch(() => undefined)
    expect(await callOf(set, 'one')).toBe(1)
  })
  test('so that nothing can be told any more ends its host', async () => {
    const lies = `Object.prototype.toJSON = () => 'lie'; return { n: 1 }`
    expect((await problemFrom(() => within(lies))).message).toMatch(/gave Object.prototype .* a toJSON/)
    expect(await within('return { n: 1 }')).toEqual({ n: 1 })
  })
})

describe('a host that says what it should not', () => {
  const FORGED: readonly (readonly [string, string])[] = [
    ['no JSON', `frame('{')`],
    ['of an unknown type', `frame('{"type":"nothing"}')`],
    ['the result of a call that nobody made', `frame('{"type":"result","id":99,"value":1}')`],
    ['with a field too much', `frame('{"type":"begun","id":1,"more":1}')`],
    [
      'a state that is too large',
      `frame(JSON.stringify({ type: 'state', name: 'a', value: 'x'.repeat(1100000), at: 1 }))`,
    ],
    ['a frame without end', `m.writeSync(4, Buffer.from([255, 255, 255, 127]))`],
    ['far too much', `for (;;) frame('{"type":"log","id":0,"line":{"level":"info","message":"x"}}')`],
  ]
  const frame = `const frame = (text) => { const b = Buffer.alloc(4 + Buffer.byteLength(text)); b.writeUInt32LE(b.length - 4); b.write(text, 4); m.writeSync(4, b) };`
  test.each(FORGED)('%s is ended', async (_, code) => {
    const forge = `${importing('fs')} ${frame} ${code}; return new Promise(() => undefined)`
    expect((await problemFrom(() => within(forge))).message).toMatch(/was ended for what it sent/)
    expect(tried.restarts.at(-1)).toBe('protocol')
    expect(await callOf(set, 'one')).toBe(1)
  })
})
