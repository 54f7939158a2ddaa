import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, test } from '@jest/globals'
import { type Cli, runToEnd, startCli } from '../../src/cli/cli.fixture.ts'
import { resource } from '../api/support/resource.ts'
import { describeNode, until, useNode } from './harness/index.ts'
import { configMap, SCRIPTED, secret } from './support/objects.ts'

const CRDS = join(import.meta.dirname, '../../crds')
const KEY = 'canary-key-of-the-callers'
const LABELS = { 'midflight.dev/runtime': 'default', app: 'agents' }

/** What the runtimes serve, without an operator. */
const DEFINITIONS = [
  resource('AgentRuntime', 'x', 'default', { models: [SCRIPTED] }),
  resource('Agent', 'x', 'support', { instructions: 'You are support.' }),
]

describeNode('midflight chat through the API server', () => {
  const node = useNode()
  const running: Cli[] = []
  let team: string
  let written = ''

  const args = (...more: readonly string[]) => ['chat', 'support', '-n', team, ...more]
  const environment = () => ({ KUBECONFIG: node().kubeconfig })
  const say = async (...more: readonly string[]) => {
    const ended = await runToEnd(args('--message', 'hello', ...more), environment())
    written += ended.stdout + ended.stderr
    return ended
  }
  const podNames = async () =>
    (await node().kubectl(['get', 'pods', '-n', team, '-l', 'app=agents', '-o', 'jsonpath={.items[*].metadata.name}']))
      .split(' ')
      .filter(Boolean)

  beforeAll(async () => {
    team = await node().makeNamespace('chat')
    for (const name of await readdir(CRDS))
      if (name.endsWith('.yaml')) await node().apply(await readFile(join(CRDS, name), 'utf8'))
    await until('the kinds are served', async () => {
      const { status } = await node().request('GET', '/apis/midflight.dev/v1alpha1/agentruntimes?limit=1')
      return status === 200
    })
    const files = Object.fromEntries(DEFINITIONS.map((each) => [`${each.kind}.yaml`, JSON.stringify(each)]))
    await node().apply(configMap(team, 'definitions', files))
    await node().apply(secret(team, 'default-runtime-key', { key: KEY }))
    for (const each of DEFINITIONS) await node().apply({ ...each, metadata: { ...each.metadata, namespace: team } })
    await node().apply(deployment(team, node().image))
    await node().kubectl(['rollout', 'status', 'deployment/default-runtime', '-n', team, '--timeout=120s'])
  })
  afterEach(async () => {
    for (const cli of running.splice(0)) {
      cli.child.kill('SIGKILL')
      await cli.exit
    }
  })

  test('finds the AgentRuntime, a Ready pod of it and its key, and answers', async () => {
    expect(await say()).toEqual({ code: 0, stdout: 'You are support.\n', stderr: '' })
    expect(await say('--runtime', 'default')).toMatchObject({ code: 0, stdout: 'You are support.\n' })
  })

  test('says that an agent is not there', async () => {
    const { code, stderr } = await runToEnd(['chat', 'nobody', '-n', team, '--message', 'x'], environment())
    expect([code, stderr]).toEqual([1, expect.stringContaining(`nothing named "nobody" is in namespace ${team}`)])
  })

  test('goes on with another pod, in the same session, when the one that answered is gone', async () => {
    const cli = startCli(args(), environment())
    running.push(cli)
    cli.child.stdin?.write('one\n')
    await cli.sees(/^You are support\.$/m)
    for (const name of await podNames())
      await node().kubectl(['delete', 'pod', name, '-n', team, '--grace-period=0', '--force'])
    await until('the first is gone', async () => {
      const before = cli.stdout().length + cli.stderr().length
      cli.child.stdin?.write('again\n')
      await until('it says something', () => cli.stdout().length + cli.stderr().length > before, 60_000)
      return cli.stderr().includes('goes on with the same session')
    })
    await cli.sees(/You are support\.\n[\s\S]*You are support\.\n/)
    expect(cli.stderr()).toMatch(/\(pod default-runtime-\S+ is gone: default-runtime-\S+ goes on/)
    written += cli.stdout() + cli.stderr()
  })

  test('a user who may not forward ports is told which right it takes', async () => {
    await node().kubectl(['rollout', 'status', 'deployment/default-runtime', '-n', team, '--timeout=120s'])
    await node().kubectl(['create', 'serviceaccount', 'reader', '-n', team])
    const group = 'agents.midflight.dev,teams.midflight.dev,workflows.midflight.dev,agentruntimes.midflight.dev'
    const reads = ['--verb=get,list', `--resource=pods,secrets,${group}`]
    await node().kubectl(['create', 'role', 'reader', '-n', team, ...reads])
    await node().kubectl([
      'create',
      'rolebinding',
      'reader',
      '-n',
      team,
      '--role=reader',
      `--serviceaccount=${team}:reader`,
    ])
    const token = (await node().kubectl(['create', 'token', 'reader', '-n', team])).trim()
    const file = join(node().folder, `chat-${team}.kubeconfig`)
    const set = (...more: readonly string[]) => node().kubectl(['config', `--kubeconfig=${file}`, ...more])
    await set('set-cluster', 'c', `--server=${node().url}`, `--certificate-authority=${node().caFile}`)
    await set('set-credentials', 'reader', `--token=${token}`)
    await set('set-context', 'c', '--cluster=c', '--user=reader', `--namespace=${team}`)
    const { code, stderr } = await say('--kubeconfig', file, '--context', 'c')
    expect(stderr).toContain('is forbidden: it takes the verbs get and create on pods/portforward')
    expect(code).toBe(1)
  })

  test('no output held the key', () => {
    expect(written).toContain('You are support.')
    expect(written).not.toContain(KEY)
  })
})

/** Runtimes as an operator would run them, but that they serve what a ConfigMap declares. */
function deployment(namespace: string, image: string) {
  const mounts = { definitions: '/etc/midflight/definitions', key: '/etc/midflight/key' }
  const container = {
    name: 'runtime',
    image,
    imagePullPolicy: 'Never',
    args: ['runtime', '--host', '0.0.0.0', '--auth-key-file', `${mounts.key}/key`, '--definitions', mounts.definitions],
    ports: [{ name: 'http', containerPort: 7777 }],
    readinessProbe: { httpGet: { path: '/readyz', port: 9464 }, periodSeconds: 1 },
    securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
    volumeMounts: [
      { name: 'definitions', mountPath: mounts.definitions },
      { name: 'key', mountPath: mounts.key },
      { name: 'tmp', mountPath: '/tmp' },
    ],
  }
  const spec = {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 2,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [container],
    volumes: [
      { name: 'definitions', configMap: { name: 'definitions' } },
      { name: 'key', secret: { secretName: 'default-runtime-key' } },
      { name: 'tmp', emptyDir: {} },
    ],
  }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'default-runtime', namespace },
    spec: { replicas: 2, selector: { matchLabels: LABELS }, template: { metadata: { labels: LABELS }, spec } },
  }
}
