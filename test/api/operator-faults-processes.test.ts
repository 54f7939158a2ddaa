import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { read, resource, told } from './support/resource.ts'
import { TOKEN } from './support/runtimes/in-process.ts'
import { type RuntimeProcess, startRuntimeProcesses } from './support/runtimes/process.ts'
import { adopt } from './support/scene/adopt.ts'
import { startTellingModel, type TellingModel } from './support/telling-model.ts'

const NAMESPACE = 'live'

describeCluster('processes of midflight runtime', () => {
  const cluster = useCluster()
  let operator: TestOperator
  let model: TellingModel
  let directory: string
  let runtimes: readonly RuntimeProcess[] = []

  const pods = async () => {
    const path = `/api/v1/namespaces/${NAMESPACE}/pods`
    const { items } = await cluster().call<{ items: { metadata: { uid: string } }[] }>('GET', path)
    return items.map(({ metadata }) => metadata.uid)
  }
  const bootIds = (those: readonly RuntimeProcess[]) =>
    Promise.all(those.map(async (each) => (await each.state()).bootId))
  const modelSpec = (name: string) => ({
    name: 'default',
    provider: 'openai-compatible',
    model: name,
    baseURL: model.url,
  })

  beforeAll(async () => {
    await cluster().installCrds()
    operator = await startTestOperator(cluster())
    model = await startTellingModel()
    directory = await mkdtemp(join(tmpdir(), 'midflight-processes-'))
    runtimes = await startRuntimeProcesses(3, directory)
    const network = { allow: ['127.0.0.1'] }
    await adopt(cluster(), NAMESPACE, runtimes, { spec: { models: [modelSpec('first')], bundles: BUNDLES, network } })
  })
  afterAll(async () => {
    await operator?.stop()
    await Promise.all(runtimes.map((runtime) => runtime.kill()))
    await model?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  const declare = (instructions: string) =>
    cluster().apply(resource('Agent', NAMESPACE, 'support', { instructions, tools: ['look'] }))
  const files = (answer: string) => {
    const data = { 'look.tool.ts': `export default { description: 'looks', execute: () => '${answer}' }\n` }
    return cluster().apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { namespace: NAMESPACE, name: 'files' },
      data,
    })
  }
  const models = async (name: string) => {
    const path = `/apis/midflight.dev/v1alpha1/namespaces/${NAMESPACE}/agentruntimes/default`
    await cluster().call('PATCH', path, { spec: { models: [modelSpec(name)] } })
  }
  const ready = async () => told(await read(cluster(), 'agents', NAMESPACE, 'support'))
  /** An Agent, its files and its model change, and every runtime that is told of serves them. */
  const change = async (name: string, those = runtimes) => {
    await Promise.all([declare(`I am ${name}`), files(name), models(name)])
    for (const { url } of those)
      await until(`${url} serves ${name}`, async () => {
        const [answer, looked, served] = await Promise.all([say(url, 'hello'), look(url), modelOf(url)])
        return answer.startsWith(`I am ${name} `) && looked === name && served === name
      })
  }

  beforeEach(async () => {
    await change('one')
    await until('the Agent is ready', async () => (await ready()) === 'Ready=True/Served')
  })
  afterEach(() => model.letGo())

  test("invariant 6: a hot change keeps the pod's uid, the process's pid, every open stream and every session", async () => {
    const before = { uids: await pods(), pids: runtimes.map(({ pid }) => pid), bootIds: await bootIds(runtimes) }
    const sessions = runtimes.map((_, index) => `session-${index}`)
    for (const [index, { url }] of runtimes.entries())
      expect(await say(url, 'hello', sessions[index])).toBe('I am one (1)')
    const streams = runtimes.map(({ url }) => openStream(url))
    await until('each waits in the middle of an answer', () => model.waiting === runtimes.length)

    for (const name of ['two', 'three', 'four', 'five', 'six']) await change(name)

    expect(streams.map(({ isOpen }) => isOpen())).toEqual([true, true, true])
    model.letGo()
    for (const { ended } of streams) expect(await ended).toBe('so far I am one (1)')
    for (const [index, { url }] of runtimes.entries())
      expect(await say(url, 'hello', sessions[index])).toBe('I am six (2)')
    expect(runtimes.every(({ isRunning }) => isRunning)).toBe(true)
    const after = { uids: await pods(), pids: runtimes.map(({ pid }) => pid), bootIds: await bootIds(runtimes) }
    expect(after).toEqual(before)
  })

  test('invariant 6: a runtime that is killed again and again during changes costs the others neither stream nor session', async () => {
    const [victim, ...others] = runtimes
    if (victim === undefined) throw new Error('there are three')
    const before = { pids: others.map(({ pid }) => pid), bootIds: await bootIds(others) }
    for (const [index, { url }] of others.entries())
      expect(await say(url, 'hello', `kept-${index}`)).toBe('I am one (1)')
    const streams = others.map(({ url }) => openStream(url))
    await until('each waits in the middle of an answer', () => model.waiting === others.length)

    for (const name of ['killed', 'killed again']) {
      const changing = change(name, others)
      await victim.kill()
      await changing
      await until('the Agent tells it', async () => (await ready()) === 'Ready=False/RuntimeUnreachable')
      const { bootId } = await victim.start().then(() => victim.state())
      await change(`${name} and back`)
      await until('the Agent is ready', async () => (await ready()) === 'Ready=True/Served')
      expect(await bootIds([victim])).toEqual([bootId])
    }

    expect(streams.map(({ isOpen }) => isOpen())).toEqual([true, true])
    model.letGo()
    for (const { ended } of streams) expect(await ended).toBe('so far I am one (1)')
    for (const [index, { url }] of others.entries())
      expect(await say(url, 'hello', `kept-${index}`)).toBe('I am killed again and back (2)')
    expect({ pids: others.map(({ pid }) => pid), bootIds: await bootIds(others) }).toEqual(before)
  })

  test('all of which are killed in the middle of a change serve it when they are back, and are told of in between', async () => {
    await Promise.all([declare('I am two'), ...runtimes.map((runtime) => runtime.kill())])
    await until('the Agent tells it', async () => (await ready()) === 'Ready=False/RuntimeUnreachable')
    await files('two')
    await models('two')
    await Promise.all(runtimes.map((runtime) => runtime.start()))
    await change('two')
    await until('the Agent is ready', async () => (await ready()) === 'Ready=True/Served')
    const states = await Promise.all(runtimes.map((runtime) => runtime.state()))
    expect(states.map(({ complete }) => complete)).toEqual([true, true, true])
  })

  test('tell the token to nobody', () => {
    expect(runtimes.map((runtime) => runtime.written()).join('')).not.toContain(TOKEN)
    expect(operator.logged()).not.toContain(TOKEN)
  })
})

const BUNDLES = [{ name: 'files', configMap: 'files' }]

const post = (url: string, path: string, body: object) =>
  fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

/** What the Agent answers; empty where it does not. */
async function say(url: string, message: string, session?: string): Promise<string> {
  const body = { message, stream: false, ...(session !== undefined && { session_id: session }) }
  const { content = '' } = (await (await post(url, '/agents/support/runs', body)).json()) as { content?: string }
  return content
}

/** What the tool answers now. */
async function look(url: string): Promise<unknown> {
  return ((await (await post(url, '/tools/look/call', { arguments: {} })).json()) as { result?: unknown }).result
}

/** The provider's name of the model. */
async function modelOf(url: string): Promise<string | undefined> {
  const served = (await (await fetch(`${url}/models`)).json()) as readonly { id: string }[]
  return served[0]?.id
}

type OpenStream = { readonly ended: Promise<string | undefined>; isOpen(): boolean }

/** A streamed run whose model waits in the middle of its answer. Ends with the whole of it, if it completed. */
function openStream(url: string): OpenStream {
  let isOpen = true
  const content = async () => {
    const text = await (await post(url, '/agents/support/runs', { message: 'wait' })).text()
    const [, data = '{}'] = /^event: RunCompleted\ndata: (.*)$/m.exec(text) ?? []
    return (JSON.parse(data) as { content?: string }).content
  }
  const ended = content().finally(() => {
    isOpen = false
  })
  return { ended, isOpen: () => isOpen }
}
