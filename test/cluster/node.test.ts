import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { describeNode, NODE_NAME, restrictedPod, until, useNode } from './harness/index.ts'
import { startedAt } from './support/process.ts'

const VERSION = (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version
const START_MS = 60_000

/** A server that says its pod's name; and a program that says whether `kubernetes.default` and the server answer. */
const SERVER = `require('http').createServer((_, a) => a.end(process.env.HOSTNAME)).listen(8080, () => console.log('listens'))`
const CLIENT = `(async () => {
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  const { status } = await fetch('https://kubernetes.default.svc.cluster.local/version')
  const answer = await fetch('http://echo.' + process.argv[1] + '.svc.cluster.local')
  console.log(status, await answer.text())
})()`

describeNode('the node', () => {
  const node = useNode()

  const phaseOf = (namespace: string, pod: string) =>
    node().kubectl(['get', 'pod', pod, '-n', namespace, '-o', 'jsonpath={.status.phase}'])
  const untilPhase = (namespace: string, pod: string, phase: string) =>
    until(`pod ${pod} is ${phase}`, async () => (await phaseOf(namespace, pod)) === phase, START_MS)
  const logsOf = (namespace: string, pod: string, ...flags: string[]) =>
    node().kubectl(['logs', pod, '-n', namespace, ...flags])

  /** A pod `echo` that serves on 8080. */
  async function startServer(namespace: string) {
    const image = node().image
    const labels = { app: 'echo' }
    await node().apply(restrictedPod({ namespace, name: 'echo', image, labels, command: ['node', '-e', SERVER] }))
    await until('the server listens', async () => (await logsOf(namespace, 'echo').catch(() => '')) !== '', START_MS)
  }

  test('is Ready', async () => {
    const ready = '{.status.conditions[?(@.type=="Ready")].status}'
    expect(await node().kubectl(['get', 'node', NODE_NAME, '-o', `jsonpath=${ready}`])).toBe('True')
  })

  test('runs the image under pod security `restricted` with a read-only root', async () => {
    const namespace = await node().makeNamespace('image')
    await node().apply(restrictedPod({ namespace, name: 'version', image: node().image, args: ['--version'] }))
    await untilPhase(namespace, 'version', 'Succeeded')
    expect(await logsOf(namespace, 'version')).toBe(`${VERSION}\n`)
  })

  test('refuses a pod that may become root where pod security is `restricted`', async () => {
    const namespace = await node().makeNamespace('refused')
    const pod = restrictedPod({ namespace, name: 'root', image: node().image, container: { securityContext: {} } })
    await expect(node().apply(pod)).rejects.toThrow(/violates PodSecurity "restricted:latest"/)
  })

  test('resolves names and routes Services', async () => {
    const namespace = await node().makeNamespace('services')
    await startServer(namespace)
    const ports = [{ port: 80, targetPort: 8080 }]
    const metadata = { name: 'echo', namespace }
    await node().apply({ apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: { app: 'echo' }, ports } })
    const command = ['node', '-e', CLIENT, namespace]
    // A new Service is not routed yet: such a pod fails and is started again.
    const pod = { restartPolicy: 'OnFailure' }
    await node().apply(restrictedPod({ namespace, name: 'client', image: node().image, command, pod }))
    await untilPhase(namespace, 'client', 'Succeeded')
    expect(await logsOf(namespace, 'client')).toMatch(/\b200 echo\n$/)
  })

  test('serves logs, exec and port-forward through the API server', async () => {
    const namespace = await node().makeNamespace('streams')
    await startServer(namespace)
    expect(await logsOf(namespace, 'echo')).toBe('listens\n')
    const said = await node().kubectl(['exec', 'echo', '-n', namespace, '--', 'node', '-p', 'process.getuid()'])
    expect(said).toBe('65532\n')
    await using forward = await node().portForward({ namespace, target: 'pod/echo', port: 8080 })
    expect(await (await fetch(forward.url)).text()).toBe('echo')
  })

  test('restarts a container that was killed, and tells it', async () => {
    const namespace = await node().makeNamespace('killed')
    const command = ['node', '-e', SERVER]
    const pod = { restartPolicy: 'Always' }
    await node().apply(restrictedPod({ namespace, name: 'echo', image: node().image, command, pod }))
    const name = { namespace, pod: 'echo', container: 'main' }
    await until(
      'it runs',
      () =>
        node()
          .containers.get(name)
          .catch(() => undefined),
      START_MS,
    )
    const killed = await node().containers.kill(name)
    const counted = async () => (await node().restartCounts(namespace))['echo/main'] === 1
    await until('its restart is counted', counted, START_MS)
    const restarted = await until(
      'it runs again',
      () =>
        node()
          .containers.get(name)
          .catch(() => undefined),
      START_MS,
    )
    expect(restarted.pid).not.toBe(killed)
  })

  test('a frozen container answers nothing until it is thawed', async () => {
    const namespace = await node().makeNamespace('frozen')
    await startServer(namespace)
    const address = await node().kubectl(['get', 'pod', 'echo', '-n', namespace, '-o', 'jsonpath={.status.podIP}'])
    const ask = () => fetch(`http://${address}:8080`, { signal: AbortSignal.timeout(1000) })
    expect((await ask()).status).toBe(200)
    const name = { namespace, pod: 'echo', container: 'main' }
    await node().containers.freeze(name)
    await expect(ask()).rejects.toThrow(/timeout/)
    await node().containers.thaw(name)
    expect((await ask()).status).toBe(200)
  })

  test('keeps its pods while the API server is killed and kubelet is stopped', async () => {
    const namespace = await node().makeNamespace('outage')
    await startServer(namespace)
    const before = await node().containers.get({ namespace, pod: 'echo', container: 'main' })
    try {
      await node().components.stop('kubelet')
      await node().components.kill('kube-apiserver')
      await expect(node().request('GET', '/version')).rejects.toThrow(/ECONNREFUSED/)
    } finally {
      await node().components.start('kube-apiserver')
      await node().components.start('kubelet')
    }
    expect(await phaseOf(namespace, 'echo')).toBe('Running')
    expect(await node().containers.get({ namespace, pod: 'echo', container: 'main' })).toEqual(before)
  })

  test('starts a runtime in a second (three where the machine is busy), and says how large the image is', async () => {
    const namespace = await node().makeNamespace('start')
    const args = ['runtime', '--host', '0.0.0.0', '--insecure-no-auth']
    const { image } = node()
    await node().apply(restrictedPod({ namespace, name: 'runtime', image, args }))
    const said = () => logsOf(namespace, 'runtime', '--timestamps').catch(() => '')
    const line = await until('it listens', async () => /^(\S+) API/m.exec(await said()), START_MS)
    const { pid } = await node().containers.get({ namespace, pod: 'runtime', container: 'main' })
    const tookMs = Date.parse(line[1] ?? '') - startedAt(pid)
    process.stdout.write(`image: ${await node().images.size(image)}; from start to listening: ${tookMs} ms\n`)
    expect(tookMs).toBeGreaterThan(0)
    expect(tookMs).toBeLessThan(START_LIMIT_MS)
  })
})

/** 0.7 s was measured on two cores with other work going on. */
const START_LIMIT_MS = 3000
