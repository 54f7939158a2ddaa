// NetworkPolicies of runtimes and of the operator, by their shape and by what they let through. The node has no policy
// engine, and none can be had here: what enforces them is a stand-in (support/policies) that reads the policies and the
// pods from the API server and writes rules of nftables into each pod's own network. It shows that the policies say
// what they should, with real packets; not how a particular engine takes them.
import { beforeAll, expect, test } from '@jest/globals'
import { describeNode, NETWORK, restrictedPod, until, useOnNode } from './harness/index.ts'
import { allAnswer, edit } from './support/edits.ts'
import { OPERATOR } from './support/install.ts'
import { shows } from './support/objects.ts'
import { nextLeader, operatorPods } from './support/operators/leader.ts'
import { identities, readyPods, runtimePods } from './support/pods.ts'
import { enforcePolicies } from './support/policies/enforce.ts'
import { openSite, PLACE } from './support/site.ts'
import { streamRun } from './support/talk.ts'

const PODS = 2
const OPERATOR_LABELS = { 'app.kubernetes.io/name': 'midflight', 'app.kubernetes.io/component': 'operator' }
const START_MS = 60_000

/** Says of each `HOST:PORT` whether it can be connected to. */
const CONNECT = `Promise.all(process.argv.slice(1).map((to) => new Promise((resolve) => {
  const [host, port] = to.split(':')
  const socket = require('net').connect({ host, port, timeout: 1500 })
  const end = (what) => { socket.destroy(); resolve(what) }
  socket.on('connect', () => end('open')).on('error', (error) => end(error.code)).on('timeout', () => end('closed'))
}))).then((all) => console.log(all.join()))`

describeNode('network policies', () => {
  const [node, site] = useOnNode((on) => openSite(on, { replicas: PODS, many: 1, drainSeconds: 1 }))
  let other: string

  type Place = { readonly namespace: string; readonly pod: string }
  /** Whether a process in a pod can connect to addresses. */
  const connects = async ({ namespace, pod }: Place, ...to: readonly string[]): Promise<string> =>
    (await node().kubectl(['exec', pod, '-n', namespace, '--', 'node', '-e', CONNECT, ...to])).trim()
  const ports = async (...numbers: readonly number[]) =>
    (await runtimePods(node(), site().team, 'default')).flatMap(({ ip }) => numbers.map((port) => `${ip}:${port}`))
  const enforce = () => enforcePolicies(node(), [site().team, site().release.namespace, other])
  const operators = async (): Promise<readonly Place[]> => {
    const { namespace } = site().release
    return (await operatorPods(node(), namespace)).map((pod) => ({ namespace, pod }))
  }
  /** Pods that are no operators, though one of them has their labels. */
  const others = (): readonly Place[] => [
    { namespace: site().team, pod: 'caller' },
    { namespace: site().release.namespace, pod: 'caller' },
    { namespace: other, pod: 'caller' },
  ]
  const each = (answer: string, count: number) => Array<string>(count).fill(answer).join()

  beforeAll(async () => {
    other = await node().makeNamespace('other')
    const command = ['node', '-e', 'setInterval(() => {}, 1e6)']
    for (const { namespace, pod: name } of others()) {
      const labels = namespace === other ? OPERATOR_LABELS : {}
      await node().apply(restrictedPod({ namespace, name, image: node().image, command, labels }))
    }
    for (const { namespace, pod } of others())
      await node().kubectl(['wait', `pod/${pod}`, '-n', namespace, '--for=condition=Ready', '--timeout=60s'])
  })

  type Policy = { readonly spec: object }
  const policy = async (namespace: string, name: string) => {
    const path = `/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies/${name}`
    return (await node().call<Policy>('GET', path)).spec
  }

  test('that of a runtime lets everybody talk to agents and read metrics, and only the operator manage it', async () => {
    const matchLabels = { 'kubernetes.io/metadata.name': site().release.namespace }
    const operator = { namespaceSelector: { matchLabels }, podSelector: { matchLabels: OPERATOR_LABELS } }
    const tcp = (port: number) => ({ port, protocol: 'TCP' })
    expect(await policy(site().team, 'default-runtime')).toEqual({
      podSelector: { matchLabels: { 'midflight.dev/runtime': 'default' } },
      policyTypes: ['Ingress'],
      ingress: [{ ports: [tcp(7777), tcp(9464)] }, { ports: [tcp(7778)], from: [operator] }],
    })
  })

  test('that of the operator lets everybody read metrics, and itself reach names, the API server and runtimes', async () => {
    const port = (number: number, protocol = 'TCP') => ({ port: number, protocol })
    expect(await policy(site().release.namespace, OPERATOR)).toMatchObject({
      podSelector: { matchLabels: OPERATOR_LABELS },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ ports: [port(8080)] }],
      egress: [
        { ports: [port(53, 'UDP'), port(53)] },
        { ports: [port(443), port(6443)] },
        { to: [{ namespaceSelector: {} }], ports: [port(7778)] },
      ],
    })
  })

  test('without rules every pod reaches every port', async () => {
    const targets = await ports(7777, 7778, 9464)
    for (const place of [...others(), ...(await operators())])
      expect(await connects(place, ...targets)).toBe(each('open', targets.length))
  })

  test('with them port 7778 is open to the operator alone', async () => {
    await enforce()
    const targets = await ports(7778)
    for (const place of others()) expect(await connects(place, ...targets)).toBe(each('closed', PODS))
    for (const place of await operators()) expect(await connects(place, ...targets)).toBe(each('open', PODS))
  })

  test('ports 7777 and 9464 are open to everybody, and no other', async () => {
    const targets = await ports(7777, 9464)
    for (const place of others()) {
      expect(await connects(place, ...targets)).toBe(each('open', targets.length))
      expect(await connects(place, ...(await ports(8080)))).toBe(each('closed', PODS))
    }
    expect(await streamRun(site().line, 'agents/support')).toBe('You are version 0.')
  })

  test('port 8080 of the operator is open to everybody, and no other; it reaches no port of a runtime but 7778', async () => {
    const addresses = await node().kubectl([
      'get',
      'pods',
      '-n',
      site().release.namespace,
      '-l',
      'app.kubernetes.io/component=operator',
      '-o',
      'jsonpath={.items[*].status.podIP}',
    ])
    for (const ip of addresses.split(' '))
      for (const place of others()) expect(await connects(place, `${ip}:8080`, `${ip}:9999`)).toBe('open,closed')
    for (const place of await operators()) {
      expect(await connects(place, ...(await ports(7777, 9464)))).toBe(each('closed', 2 * PODS))
      expect(await connects(place, `${NETWORK.apiService}:443`)).toBe('open')
    }
  })

  test('edits are served, pods stay ready, and nothing is restarted under them', async () => {
    const before = await identities(node(), site().team, 'default')
    for (let count = 0; count < 5; count++) expect(await edit(site(), PODS)).toBeLessThan(5000)
    await readyPods(node(), { namespace: site().team, ...PLACE }, PODS)
    await shows(node(), { kind: 'Agent', namespace: site().team, name: 'support' })
    expect(await identities(node(), site().team, 'default')).toEqual(before)
  })

  test('pods that come later, of runtimes and of the operator, are let in and kept out alike', async () => {
    const [first] = await runtimePods(node(), site().team, 'default')
    const leader = await nextLeader(node(), site().release.namespace)
    await node().kubectl(['delete', 'pod', first?.name ?? '', '-n', site().team, '--wait'])
    await node().kubectl(['delete', 'pod', leader.pod, '-n', site().release.namespace, '--wait'])
    await readyPods(node(), { namespace: site().team, ...PLACE }, PODS)
    await until('there are two operators', async () => (await operators()).length === 2, START_MS)
    await site().release.scale(2)
    await enforce()
    const targets = await ports(7778)
    for (const place of others()) expect(await connects(place, ...targets)).toBe(each('closed', PODS))
    for (const place of await operators()) expect(await connects(place, ...targets)).toBe(each('open', PODS))
    expect(await edit(site(), PODS)).toBeLessThan(5000)
    await allAnswer(site(), { path: 'agents/support', text: 'You are version 0.', pods: PODS })
  })
})
