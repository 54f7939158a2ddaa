import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { get } from 'node:https'
import { createInterface } from 'node:readline'
import { expect, test } from '@jest/globals'
import type { KubeObject } from '../../src/kube/types.ts'
import {
  type Cluster,
  describeCluster,
  startCluster,
  startFaultProxy,
  until,
  useCluster,
  WRITES,
} from './harness/index.ts'

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps'
const configMap = (name: string, value: string) => ({
  ...{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } },
  data: { value },
})
const versionOf = (object: KubeObject) => object.metadata.resourceVersion ?? ''

type List = { readonly metadata: { readonly continue: string }; readonly items: readonly KubeObject[] }

/** What a watch from that resource version says first. */
async function firstLine(cluster: Cluster, path: string, resourceVersion: string): Promise<string> {
  const query = `watch=true&timeoutSeconds=1&resourceVersion=${resourceVersion}`
  const { status, body } = await cluster.request<unknown>('GET', `${path}?${query}`)
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return `${status} ${text.split('\n')[0]}`
}

/** A watch by HTTP/1.1 on another port than the server's own. */
function watchThrough(port: number, { caFile, token }: Cluster, path: string) {
  const { promise: end, resolve } = Promise.withResolvers<'ended' | 'aborted'>()
  let text = ''
  const headers = { authorization: `Bearer ${token}` }
  const options = {
    host: '127.0.0.1',
    port,
    path: `${path}?watch=true`,
    ca: readFileSync(caFile),
    headers,
    agent: false,
  }
  get(options, (answer) => {
    answer.on('data', (piece) => {
      text += piece.toString()
    })
    answer.on('end', () => resolve('ended'))
    answer.on('error', () => resolve('aborted'))
  })
  return { text: () => text, end }
}

const isRunning = (pid: number) => existsSync(`/proc/${pid}`)

describeCluster('a real API server', () => {
  const cluster = useCluster()

  test('serves the custom resources once their CRDs are installed', async () => {
    await cluster().installCrds()
    const metadata = { name: 'support' }
    const agent = await cluster().apply({
      ...{ apiVersion: 'midflight.dev/v1alpha1', kind: 'Agent', metadata },
      spec: { instructions: 'You answer.' },
    })
    expect(agent.metadata).toMatchObject({ name: 'support', namespace: 'default', generation: 1 })
    expect(await cluster().kubectl(['get', 'agents', '-o', 'name'])).toBe('agent.midflight.dev/support\n')
  })

  test('applies every document of a YAML text, and tells why it refuses one', async () => {
    const yaml = `${JSON.stringify(configMap('one', '1'))}\n---\n${JSON.stringify(configMap('two', '2'))}\n`
    expect((await cluster().apply(yaml)).map(({ metadata }) => metadata.name)).toEqual(['one', 'two'])
    await expect(cluster().apply(configMap('Not A Name', ''))).rejects.toThrow(/422.*metadata\.name/)
    await expect(cluster().apply({ ...configMap('x', ''), kind: 'Unknown' })).rejects.toThrow('knows no Unknown of v1')
    await expect(cluster().kubectl(['get', 'nonsense'])).rejects.toThrow('nonsense')
  })

  test('takes what kubectl reads from its input', async () => {
    expect(await cluster().kubectl(['apply', '-f', '-'], JSON.stringify(configMap('piped', '1')))).toContain('created')
  })

  test('keeps its data and its port over SIGKILL', async () => {
    await cluster().apply(configMap('kept', 'before'))
    await cluster().killApiServer()
    await expect(cluster().request('GET', '/readyz')).rejects.toThrow('ECONNREFUSED')
    await cluster().startApiServer()
    expect(await cluster().call('GET', `${CONFIG_MAPS}/kept`)).toMatchObject({ data: { value: 'before' } })
  })

  test('answers nothing while it is stopped by SIGSTOP, and then what was asked meanwhile', async () => {
    cluster().pauseApiServer()
    const asked = cluster().request('GET', CONFIG_MAPS)
    const waited = new Promise((resolve) => setTimeout(resolve, 300, 'no answer'))
    expect(await Promise.race([asked, waited])).toBe('no answer')
    cluster().resumeApiServer()
    expect((await asked).status).toBe(200)
  })

  test('has forgotten a continue token after a compaction, and an old watch after a restart', async () => {
    const old = versionOf(await cluster().apply(configMap('first', '1')))
    await cluster().apply(configMap('second', '1'))
    const page = await cluster().call<List>('GET', `${CONFIG_MAPS}?limit=1`)
    await cluster().apply(configMap('second', '2'))
    await cluster().compact()
    const next = `${CONFIG_MAPS}?limit=1&continue=${encodeURIComponent(page.metadata.continue)}`
    expect((await cluster().request('GET', next)).status).toBe(410)
    await cluster().killApiServer()
    await cluster().startApiServer()
    expect(await firstLine(cluster(), CONFIG_MAPS, old)).toMatch(
      /^200 .*"type":"ERROR".*"reason":"Expired".*"code":410/,
    )
  })

  test('makes pods that say they are ready at an address', async () => {
    await cluster().makeNamespace('team')
    const pod = await cluster().makePod({ namespace: 'team', name: 'one', labels: { app: 'a' }, ip: '127.0.0.2' })
    expect(pod).toMatchObject({
      metadata: { labels: { app: 'a' } },
      status: { phase: 'Running', podIP: '127.0.0.2', podIPs: [{ ip: '127.0.0.2' }] },
    })
    const pods = () => cluster().kubectl(['get', 'pods', '-n', 'team', '--no-headers'])
    expect(await pods()).toMatch(/^one +1\/1 +Running/)
    await cluster().setPodReady('team', 'one', false)
    expect(await pods()).toMatch(/^one +0\/1 +Running/)
    await cluster().deletePod('team', 'one')
    expect(await pods()).toBe('')
  })

  test('counts the writes of each user', async () => {
    const token = await cluster().serviceAccountToken('default', 'writer')
    const user = 'system:serviceaccount:default:writer'
    const headers = { authorization: `Bearer ${token}` }
    const write = () => cluster().request('POST', CONFIG_MAPS, configMap('audited', '1'), { headers })
    expect((await write()).status).toBe(403)
    await cluster().kubectl(['create', 'role', 'write', '--verb=create', '--resource=configmaps'])
    await cluster().kubectl(['create', 'rolebinding', 'write', '--role=write', '--serviceaccount=default:writer'])
    await until('the right is known', async () => (await write()).status !== 403)
    const events = await cluster().auditEvents({ user, verbs: WRITES, resource: 'configmaps' })
    expect(events.at(0)).toMatchObject({ verb: 'create', namespace: 'default', code: 403, group: '', subresource: '' })
    expect(events.filter(({ code }) => code === 201)).toHaveLength(1)
    expect(await cluster().auditEvents({ user: 'nobody' })).toEqual([])
  })

  test('misses no write in the audit log that was answered', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `counted-${index}`)
    await Promise.all(names.map((name) => cluster().apply(configMap(name, '1'))))
    const events = await cluster().auditEvents({ user: 'admin', verbs: ['patch'], resource: 'configmaps' })
    const counted = events.filter(({ name, code }) => name.startsWith('counted-') && code === 201)
    expect(counted.map(({ name }) => name).sort()).toEqual(names.sort())
  })

  test('knows users by certificate and by token, each with a kubeconfig', async () => {
    const file = await cluster().addUser('jane/doe', ['team-a', 'system:masters'])
    expect(cluster().kubeconfig('jane/doe')).toBe(file)
    const whoami = (path: string) => cluster().kubectl(['auth', 'whoami', '-o', 'yaml', '--kubeconfig', path])
    expect(await whoami(file)).toMatch(/groups:\n *- team-a\n *- system:masters\n[\s\S]*username: jane\/doe\n/)
    await cluster().serviceAccountToken('default', 'robot')
    const robot = 'system:serviceaccount:default:robot'
    expect(await whoami(cluster().kubeconfig(robot))).toContain(`username: ${robot}\n`)
    expect(() => cluster().kubeconfig('stranger')).toThrow('no user stranger')
  })

  test('is reached through a fault proxy, which may cut its answers in the middle of a line', async () => {
    const { certificate, caFile, port } = cluster()
    await using proxy = await startFaultProxy({ port, tls: { certificate, serverCaFile: caFile } })
    const kubeconfig = await cluster().kubeconfigVia(proxy.port)
    expect(await cluster().kubectl(['--kubeconfig', kubeconfig, 'get', 'namespaces', '-o', 'name'])).toContain(
      'default',
    )
    const watching = watchThrough(proxy.port, cluster(), CONFIG_MAPS)
    // What was there before comes first, perhaps in several parts.
    await cluster().apply(configMap('uncut', 'x'))
    await until('the watch has caught up', () => /"name":"uncut"[^\n]*\n$/.test(watching.text()))
    const before = watching.text().length
    proxy.truncateAfter(300)
    await cluster().apply(configMap('cut', 'x'.repeat(1000)))
    expect(await watching.end).toBe('aborted')
    expect(watching.text().length - before).toBeLessThanOrEqual(300)
    expect(watching.text().endsWith('\n')).toBe(false)
  })

  test('ends namespaces once the controller manager runs', async () => {
    await cluster().makeNamespace('brief')
    await cluster().startControllerManager()
    await cluster().call('DELETE', '/api/v1/namespaces/brief')
    await until('the namespace is gone', async () => {
      return (await cluster().request('GET', '/api/v1/namespaces/brief')).status === 404
    })
  })
})

describeCluster('a cluster', () => {
  test('whose watches are etcd’s own answers an old one with 410 after a compaction, without a restart', async () => {
    await using cluster = await startCluster({ watchCache: false })
    const old = versionOf(await cluster.apply(configMap('first', '1')))
    await cluster.apply(configMap('second', '1'))
    await cluster.apply(configMap('second', '2'))
    expect(await firstLine(cluster, CONFIG_MAPS, old)).toMatch(/^200 .*"type":"ADDED".*"second"/)
    await cluster.compact()
    expect(await firstLine(cluster, CONFIG_MAPS, old)).toMatch(/"code":410/)
  })

  test('leaves no process and no file when it is disposed, paused or not', async () => {
    const cluster = await startCluster({ controllerManager: true })
    const { pids, folder } = cluster
    expect(pids.map(isRunning)).toEqual([true, true, true])
    cluster.pauseApiServer()
    await cluster[Symbol.asyncDispose]()
    expect(pids.map(isRunning)).toEqual([false, false, false])
    expect(cluster.pids).toEqual([])
    expect(existsSync(folder)).toBe(false)
  })

  test('leaves no process when the process that started it is killed, and its files go with the next start', async () => {
    const source = `
      const { startCluster } = await import(${JSON.stringify(new URL('./harness/cluster.ts', import.meta.url).href)})
      const { pids, folder } = await startCluster()
      console.log(JSON.stringify({ pids, folder }))
      setInterval(() => {}, 1000)`
    const starter = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line = ''] = await Array.fromAsync(firstOf(createInterface({ input: starter.stdout })))
    const { pids, folder } = JSON.parse(line) as { pids: number[]; folder: string }
    expect(pids.map(isRunning)).toEqual([true, true])
    starter.kill('SIGKILL')
    await until('all are gone', () => !pids.some(isRunning))
    // Whoever starts one next takes them away, be it another suite.
    await using _next = await startCluster()
    expect(existsSync(folder)).toBe(false)
  })
})

async function* firstOf(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) {
    yield line
    return
  }
}
