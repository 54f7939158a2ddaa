import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import {
  answersHtml,
  answersNoJson,
  answersTenMegabytes,
  drips,
  type Fault,
  fails,
  hangs,
  losesAnswers,
  redirectsTo,
  speaksNoHttp,
  speaksVersion9,
} from './support/runtimes/faulty.ts'
import { TOKEN } from './support/runtimes/in-process.ts'
import { type FaultyScene, stage } from './support/scene/faulty.ts'

/** Where the HTTP client tells whom it connects to. */
const CONNECTING = 'undici:client:beforeConnect'

describeCluster('a runtime whose answers are none', () => {
  const cluster = useCluster()
  let operator: TestOperator

  beforeAll(async () => {
    await cluster().installCrds()
    operator = await startTestOperator(cluster())
  })
  afterAll(async () => {
    await operator?.stop()
  })

  /** An edit reaches the other pod while this one is ill, status tells what is wrong with this one, and it is brought up to date when it is well. */
  async function survives(scene: FaultyScene, row: { reason: string; message: RegExp }): Promise<void> {
    await scene.declare('two')
    await until('the other pod serves the edit', async () => (await scene.answer(1)) === 'two')
    const first = await until('the AgentRuntime tells what is wrong', async () =>
      (await scene.podRows()).find(({ message }) => row.message.test(message ?? '')),
    )
    expect(first).toMatchObject({ name: 'runtime-0', link: 'Unreachable', reason: row.reason })
    expect((await scene.podRows()).map(({ name }) => name)).toEqual(['runtime-0', 'runtime-1'])
    await until('the Agent tells it', async () => (await scene.ready()) === `Ready=False/${row.reason}`)
    await until('the Agent tells why', async () => row.message.test(await scene.readyMessage()))
    expect(await scene.answer(0)).toBe('one')
    scene.at(0).behave()
    await until('it serves the edit', async () => (await scene.answer(0)) === 'two')
    await until('the Agent is ready', async () => (await scene.ready()) === 'Ready=True/Served')
    await until('no pod is told of', async () => (await scene.podRows()).every(({ link }) => link === 'Reachable'))
  }

  test.each<[string, Fault, string, RegExp]>([
    ['hangs', hangs, 'RuntimeUnreachable', /did not answer within 2000 ms/],
    ['drips a byte a second', drips, 'RuntimeUnreachable', /took over 5000 ms to answer/],
    ['speaks no HTTP', speaksNoHttp, 'RuntimeUnreachable', /does not speak HTTP: check spec.adopt.port/],
    ['answers garbage', answersNoJson, 'RuntimeUnreachable', /something else than the management protocol/],
    ['answers 10 MB', answersTenMegabytes, 'RuntimeUnreachable', /something else than the management protocol/],
    ['answers HTML', answersHtml, 'RuntimeUnreachable', /something else than JSON/],
    ['answers HTTP 503', fails(503), 'RuntimeUnreachable', /answers HTTP 503/],
    ['speaks protocol version 9', speaksVersion9, 'ProtocolMismatch', /version 9, this operator in version 1/],
  ])('that %s holds up no other pod, is told of, and is brought up to date when it is well', async (...given) => {
    const [name, fault, reason, message] = given
    await using scene = await stage(cluster(), { namespace: name.toLowerCase().replaceAll(/\W+/g, '-'), count: 2 })
    scene.at(0).misbehave(fault)
    await survives(scene, { reason, message })
  })

  test.each<[string, (here: string) => string]>([
    ['to somewhere near', (here) => here],
    ['to the metadata of a cloud', () => 'http://169.254.169.254/latest/meta-data'],
  ])('that redirects %s is not followed, so the token goes nowhere', async (what, urlFor) => {
    const followed: unknown[] = []
    const elsewhere = createServer((request, response) => {
      followed.push(request.url)
      response.end()
    })
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve))
    const connected = new Set<string>()
    const onConnect = (message: unknown) => {
      connected.add((message as { connectParams: { hostname: string } }).connectParams.hostname)
    }
    subscribe(CONNECTING, onConnect)
    try {
      await using scene = await stage(cluster(), { namespace: `redirects-${what.replaceAll(' ', '-')}`, count: 2 })
      scene.at(0).misbehave(redirectsTo(urlFor(`http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`)))
      await survives(scene, { reason: 'RuntimeUnreachable', message: /answers with a redirect \(HTTP 307\)/ })
      expect(followed).toEqual([])
      expect(connected).toContain(scene.at(0).pod.host)
      expect(connected).not.toContain('169.254.169.254')
    } finally {
      unsubscribe(CONNECTING, onConnect)
      elsewhere.close()
    }
  })

  test('that refuses connections is refilled when it is back', async () => {
    await using scene = await stage(cluster(), { namespace: 'refuses', count: 2 })
    await scene.at(0).pod.stop()
    await scene.declare('two')
    await until('the other pod serves the edit', async () => (await scene.answer(1)) === 'two')
    await until('it is told of', async () => /refuses connections/.test((await scene.podRows())[0]?.message ?? ''))
    await until('the Agent tells it', async () => (await scene.ready()) === 'Ready=False/RuntimeUnreachable')
    await scene.at(0).pod.restart()
    await until('it serves the edit', async () => (await scene.answer(0)) === 'two')
    await until('the Agent is ready', async () => (await scene.ready()) === 'Ready=True/Served')
  })

  test('that lacks nothing takes no Agent its Ready, and is told of all the same', async () => {
    await using scene = await stage(cluster(), { namespace: 'lacks-nothing', count: 2 })
    scene.at(0).misbehave(fails(503))
    await until('it is told of', async () => (await scene.podRows())[0]?.reason === 'RuntimeUnreachable')
    expect(await scene.ready()).toBe('Ready=True/Served')
    scene.at(0).behave()
    await until('it is well', async () => (await scene.podRows()).every(({ link }) => link === 'Reachable'))
  })

  test('that does what it is told, and whose answer is lost, is told it once and then counted as well', async () => {
    await using scene = await stage(cluster(), { namespace: 'loses-answers', count: 2 })
    scene.at(0).misbehave(losesAnswers, ['apply'])
    await scene.declare('two')
    await until('both serve the edit', async () => (await scene.answers()).every((each) => each === 'two'))
    scene.at(0).behave()
    await until('the Agent is ready', async () => (await scene.ready()) === 'Ready=True/Served')
    await until('no pod is told of', async () => (await scene.podRows()).every(({ link }) => link === 'Reachable'))
    const activations = scene
      .at(0)
      .pod.applies.filter(({ mode, items }) => mode === 'activate' && items['agents/support'])
    expect(activations).toHaveLength(2)
  })

  test('that fails an edit which is then taken back is well again', async () => {
    await using scene = await stage(cluster(), { namespace: 'taken-back', count: 2 })
    scene.at(0).misbehave(hangs, ['apply'])
    await scene.declare('two')
    await until('it is told of', async () => /no apply in time/.test((await scene.podRows())[0]?.message ?? ''))
    scene.at(0).behave()
    await scene.declare('one')
    await until('no pod is told of', async () => (await scene.podRows()).every(({ link }) => link === 'Reachable'))
    await until('the Agent is ready', async () => (await scene.ready()) === 'Ready=True/Served')
  })

  test('leaves the token out of all that is told', async () => {
    expect(operator.logged()).not.toContain(TOKEN)
    expect(await cluster().kubectl(['get', 'agentruntimes,agents,events', '-A', '-o', 'json'])).not.toContain(TOKEN)
  })
})
