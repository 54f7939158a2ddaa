import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { type Gateway, type GatewayRequest, isWrite, PASS, refusal, startGateway } from './support/operator/gateway.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { read, resource, told } from './support/resource.ts'
import { type PodRuntime, startPodRuntimes } from './support/runtimes/in-process.ts'
import { adopt } from './support/scene/adopt.ts'

const AGENTS = '/apis/midflight.dev/v1alpha1/namespaces/demo/agents'
const FINALIZER = 'midflight.dev/registry'
const LONG_MS = 45_000

describeCluster('an operator whose requests go wrong', () => {
  const cluster = useCluster()
  let runtimes: PodRuntime[]
  let gateway: Gateway
  let operator: TestOperator

  beforeAll(async () => {
    await cluster().installCrds()
    runtimes = await startPodRuntimes({ count: 2 })
    await adopt(cluster(), 'demo', runtimes)
    gateway = await startGateway(cluster())
    operator = await startTestOperator(cluster(), { config: gateway.config })
  })
  afterEach(() => gateway.decide())
  afterAll(async () => {
    await operator?.stop()
    await gateway?.[Symbol.asyncDispose]()
    await Promise.all((runtimes ?? []).map((runtime) => runtime.stop()))
  })

  const apply = (name: string, instructions: string) =>
    cluster().apply(resource('Agent', 'demo', name, { instructions }))
  const isReady = async (name: string) => told(await read(cluster(), 'agents', 'demo', name)) === 'Ready=True/Served'
  const ready = (name: string) => until(`${name} is ready`, () => isReady(name), LONG_MS)
  const patch = (name: string, body: object) => cluster().call('PATCH', `${AGENTS}/${name}`, body)
  const isStatusOf = (name: string) => (request: GatewayRequest) =>
    request.method === 'PATCH' && request.path === `${AGENTS}/${name}/status`
  const isObject = (name: string) => (request: GatewayRequest) =>
    request.method === 'PATCH' && request.path === `${AGENTS}/${name}`
  const sent = (matches: (request: GatewayRequest) => boolean) => gateway.requests.filter(matches)
  const codes = async (name: string, subresource: string) => {
    const events = await cluster().auditEvents({ resource: 'agents', namespace: 'demo', name, subresource })
    return events.filter(({ verb }) => verb === 'patch').map(({ code }) => code)
  }
  const serving = (name: string) =>
    runtimes.map(({ runtime }) => runtime.registry.current.agents.get(name)?.definition.spec.instructions)
  /** An Agent of its own that is served: everything before it has been seen. */
  let markers = 0
  const afterMarker = async () => {
    markers += 1
    await apply(`marker-${markers}`, 'marker')
    await ready(`marker-${markers}`)
    return `marker-${markers}`
  }

  /** Whatever is declared is looked at again. */
  const changeSettings = async (reply: string) => {
    const models = [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply }] }]
    const path = '/apis/midflight.dev/v1alpha1/namespaces/demo/agentruntimes/default'
    const { metadata } = await cluster().call('PATCH', path, { spec: { models } })
    await until(
      'the settings are served',
      async () => {
        const { status } = await read(cluster(), 'agentruntimes', 'demo', 'default')
        return status?.observedGeneration === metadata.generation
      },
      LONG_MS,
    )
  }

  test('fault 6: writes nothing and tells the pods nothing when everything is shown to it again', async () => {
    for (const name of ['one', 'two', 'three']) await apply(name, name)
    for (const name of ['one', 'two', 'three']) await ready(name)
    await afterMarker()
    const writes = sent(isWrite).length
    const applies = runtimes.map((runtime) => runtime.applies.length)
    const lines = ['agents', 'agentruntimes', 'configmaps', 'secrets', 'pods'].map((each) => gateway.replay(each))
    expect(Math.min(...lines)).toBeGreaterThan(0)

    const marker = await afterMarker()
    expect(
      sent(isWrite)
        .slice(writes)
        .filter(({ path }) => !path.includes(marker)),
    ).toEqual([])
    const heard = runtimes.flatMap((runtime, index) => runtime.applies.slice(applies[index]))
    expect(new Set(heard.flatMap(({ items }) => Object.keys(items)))).toEqual(new Set([`agents/${marker}`]))
    expect(heard.flatMap(({ remove }) => remove.items)).toEqual([])
  })

  test('fault 7, 409: keeps a finalizer that somebody else adds at the same moment', async () => {
    let isRaced = false
    gateway.decide(async (request) => {
      if (isRaced || !isObject('raced')(request)) return PASS
      isRaced = true
      await patch('raced', { metadata: { finalizers: ['example.com/other'] } })
      return PASS
    })
    await apply('raced', 'raced')
    await ready('raced')
    const { metadata } = await cluster().call('GET', `${AGENTS}/raced`)
    expect([...(metadata.finalizers ?? [])].sort()).toEqual(['example.com/other', FINALIZER])
    // The stale view may be tried more than once before the newer one arrives; each is refused.
    const views = sent(isObject('raced')).map(({ body }) => JSON.parse(body).metadata.resourceVersion)
    expect(new Set(views).size).toBe(2)
    expect(views.lastIndexOf(views[0])).toBe(views.length - 2)
    await patch('raced', { metadata: { finalizers: [FINALIZER] } })
  })

  test('fault 7, 409: says again what it had to say when somebody else writes the object at the same moment', async () => {
    let isRaced = false
    gateway.decide(async (request) => {
      if (isRaced || !isStatusOf('told')(request)) return PASS
      isRaced = true
      await patch('told', { metadata: { labels: { by: 'other' } } })
      return PASS
    })
    await apply('told', 'told')
    await ready('told')
    expect((await cluster().call('GET', `${AGENTS}/told`)).metadata.labels).toEqual({ by: 'other' })
    const answers = await codes('told', 'status')
    expect(answers[0]).toBe(409)
    expect(answers.filter((code) => code !== 409)).toEqual([200])
  })

  test('fault 7, 404: lets go of an object that is gone before its status is written', async () => {
    gateway.decide(async (request) => {
      if (!isStatusOf('gone')(request)) return PASS
      await patch('gone', { metadata: { finalizers: [] } })
      await cluster().request('DELETE', `${AGENTS}/gone`)
      return PASS
    })
    await apply('gone', 'gone')
    await until('the registries have let go of it', () => {
      return sent(isStatusOf('gone')).length > 0 && serving('gone').every((each) => each === undefined)
    })
    await afterMarker()
    expect(await codes('gone', 'status')).toEqual([404])
    expect((await cluster().request('GET', `${AGENTS}/gone`)).status).toBe(404)
    expect(operator.logged()).not.toContain('a reconcile failed and will be retried')
  })

  test('fault 7, 422: does not repeat what the API server refuses, until the object changes', async () => {
    gateway.decide((request) => (isStatusOf('refused')(request) ? refusal(422, 'Invalid') : PASS))
    await apply('refused', 'refused')
    await until('it is refused', () => operator.logged().includes('a reconcile failed until its input changes'))
    await until('it is served', () => serving('refused').every((each) => each === 'refused'), LONG_MS)
    const marker = await afterMarker()
    expect(marker).not.toBe('')
    expect(sent(isStatusOf('refused')).length).toBeLessThanOrEqual(2)

    gateway.decide()
    await apply('refused', 'mended')
    await ready('refused')
  })

  test('fault 7, 429: comes back when the API server says, and not before', async () => {
    const at: number[] = []
    gateway.decide((request) => {
      if (!isStatusOf('throttled')(request)) return PASS
      at.push(performance.now())
      return at.length === 1 ? refusal(429, 'TooManyRequests', { 'retry-after': '1' }) : PASS
    })
    await apply('throttled', 'throttled')
    await ready('throttled')
    expect(at).toHaveLength(2)
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThanOrEqual(1_000)
  })

  test('fault 7, 500, 503 and 504: tries again until it is taken, and serves meanwhile', async () => {
    const answers = [refusal(500, 'InternalError'), refusal(503, 'ServiceUnavailable'), refusal(504, 'Timeout')]
    gateway.decide((request) => (isStatusOf('failed')(request) ? (answers.shift() ?? PASS) : PASS))
    await apply('failed', 'failed')
    await until('it is served', () => serving('failed').every((each) => each === 'failed'), LONG_MS)
    await ready('failed')
    expect(sent(isStatusOf('failed'))).toHaveLength(4)
  })

  test.each([
    ['finalizer', isObject('lost-finalizer'), ''],
    ['status', isStatusOf('lost-status'), 'status'],
  ])(
    'fault 7: an answer that is lost after the %s was written has no second effect',
    async (what, isIt, subresource) => {
      const name = `lost-${what}`
      let isLost = false
      gateway.decide((request) => {
        if (isLost || !isIt(request)) return PASS
        isLost = true
        return { type: 'lose' }
      })
      await apply(name, name)
      await ready(name)
      await afterMarker()
      const written = (await codes(name, subresource)).filter((code) => code === 200)
      expect(written).toHaveLength(1)
      expect((await cluster().call('GET', `${AGENTS}/${name}`)).metadata.finalizers).toEqual([FINALIZER])
    },
  )

  test('fault 7: an answer that is lost after an Event was created makes no second Event', async () => {
    let creations = 0
    gateway.decide((request) => {
      if (request.method !== 'POST' || !request.path.endsWith('/events')) return PASS
      if (!request.body.includes('impossible')) return PASS
      creations += 1
      return creations === 1 ? { type: 'lose' } : PASS
    })
    await cluster().apply(resource('Agent', 'demo', 'impossible', { instructions: 'x', agents: ['impossible'] }))
    await until('the Event is sent', () => creations > 0)
    await until('it is stalled', async () => {
      return told(await read(cluster(), 'agents', 'demo', 'impossible'), 'Stalled').startsWith('Stalled=True')
    })
    const events = await cluster().call<{ items: { regarding: { name: string } }[] }>(
      'GET',
      '/apis/events.k8s.io/v1/namespaces/demo/events',
    )
    expect(events.items.filter(({ regarding }) => regarding.name === 'impossible')).toHaveLength(1)
  })

  test('fault 16: never says of a generation what no pod serves yet, while the spec changes at every write', async () => {
    const wrong: string[] = []
    let edits = 0
    gateway.decide(async (request) => {
      if (!isStatusOf('moving')(request)) return PASS
      const { status } = JSON.parse(request.body)
      const isServed = status.conditions.some(
        ({ type, status: value }: { type: string; status: string }) => type === 'Ready' && value === 'True',
      )
      // The nth edit is generation n.
      const shown = serving('moving').map(Number)
      if (isServed && Math.min(...shown) < status.observedGeneration)
        wrong.push(`${status.observedGeneration} while ${shown.join()} is served`)
      if (edits < 10) {
        edits += 1
        await apply('moving', String(edits))
      }
      return PASS
    })
    edits = 1
    await apply('moving', '1')
    await until('every edit is made', () => edits === 10, LONG_MS)
    await ready('moving')
    expect(wrong).toEqual([])
    expect((await read(cluster(), 'agents', 'demo', 'moving')).status?.observedGeneration).toBe(10)
    expect(serving('moving')).toEqual(['10', '10'])
  })

  test('fault 17: does not write again what its cache does not show yet', async () => {
    await apply('held', 'one')
    await ready('held')
    await afterMarker()
    // The edit arrives; what the operator writes then does not come back.
    gateway.decide((request) => {
      if (isStatusOf('held')(request)) gateway.hold('agents')
      return PASS
    })
    const before = (await codes('held', 'status')).length
    await apply('held', 'two')
    await ready('held')
    for (const reply of ['one', 'two', 'three']) await changeSettings(reply)
    gateway.release('agents')
    await afterMarker()
    // Every digest differs, so each of the four is told, once and with the version that the one before it made.
    expect((await codes('held', 'status')).slice(before)).toEqual([200, 200, 200, 200])
    const said = sent(isStatusOf('held')).map(({ body }) => JSON.stringify(JSON.parse(body).status))
    expect(new Set(said).size).toBe(said.length)
  })

  test('fault 17: writes the finalizer of a new object once, though its cache does not show it', async () => {
    gateway.decide((request) => {
      if (isObject('unseen')(request)) gateway.hold('agents')
      return PASS
    })
    await apply('unseen', 'one')
    await until('it has its finalizer', async () => {
      return (await cluster().call('GET', `${AGENTS}/unseen`)).metadata.finalizers?.length === 1
    })
    for (const reply of ['four', 'five', 'six']) await changeSettings(reply)
    gateway.release('agents')
    await ready('unseen')
    expect(sent(isObject('unseen'))).toHaveLength(1)
    expect(sent(isStatusOf('unseen')).length).toBeLessThanOrEqual(2)
  })
})
