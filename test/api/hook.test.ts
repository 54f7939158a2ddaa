import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { runHere } from '../../src/cli/cli.fixture.ts'
import { type Cluster, describeCluster, type Manifest, until, useCluster } from './harness/index.ts'
import { template } from './support/deploy/helm.ts'
import { installedEverywhere, installedRights, objectsOf, SYSTEM } from './support/deploy/install.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { resource, SCRIPTED } from './support/resource.ts'
import { type PodRuntime, startPodRuntimes } from './support/runtimes/in-process.ts'
import { adopt } from './support/scene/adopt.ts'

const API = '/apis/midflight.dev/v1alpha1'
const ACCOUNTS = ['midflight-operator', 'midflight-apply-defaults', 'midflight-test']
const RBAC = ['ServiceAccount', 'Role', 'RoleBinding']
const FINALIZER = 'midflight.dev/registry'

const KINDS: Readonly<Record<string, readonly [string, object]>> = {
  agents: ['Agent', { instructions: 'x' }],
  teams: ['Team', { members: [{ agent: 'a' }] }],
  workflows: ['Workflow', { steps: [{ name: 'a', agent: 'a' }] }],
  agentruntimes: ['AgentRuntime', { models: [SCRIPTED] }],
}

/** What the chart grants to its hooks, which here stay. */
async function grantHooks(cluster: Cluster): Promise<void> {
  const objects = objectsOf(await template(['--set', 'defaultRuntime.enabled=true,defaultRuntime.namespaces={team-a}']))
  const granted = objects.filter(({ kind, metadata }) => RBAC.includes(kind) && isHook(metadata.labels))
  for (const object of granted) await cluster.apply(object)
  for (const name of ACCOUNTS) await cluster.serviceAccountToken(SYSTEM, name)
}

const isHook = (labels: unknown): boolean =>
  (labels as Readonly<Record<string, string>>)['app.kubernetes.io/component'] === 'hook'

describeCluster('midflight hook', () => {
  const cluster = useCluster()
  const as = (account: string) => ['--kubeconfig', cluster().kubeconfig(`system:serviceaccount:${SYSTEM}:${account}`)]
  const read = (path: string) =>
    cluster().call<Manifest & { spec: { replicas?: number; models: { name: string }[] } }>('GET', path)
  let spec: string

  beforeAll(async () => {
    await cluster().kubectl(['apply', '-f', '-'], `${await installedRights()}---\n${await installedEverywhere()}`)
    for (const name of ['team-a', 'team-b']) await cluster().makeNamespace(name)
    await grantHooks(cluster())
    spec = join(cluster().folder, 'spec.yaml')
    await writeFile(spec, JSON.stringify({ replicas: 2, models: [SCRIPTED] }))
  })

  describe('apply-defaults', () => {
    const RUNTIME = `${API}/namespaces/team-a/agentruntimes/default`
    const run = (...flags: string[]) =>
      runHere([
        'hook',
        'apply-defaults',
        '--spec',
        spec,
        '--namespaces',
        'team-a',
        ...as('midflight-apply-defaults'),
        ...flags,
      ])

    test('says what to install when the kinds are not served in time', async () => {
      const { code, stderr } = await run('--timeout', '500ms')
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /does not know midflight.dev\/v1alpha1; install the CustomResourceDefinitions: crds.enabled/,
      )
    })

    test('waits until they are served, and applies with the rights that the chart gives it', async () => {
      const running = run()
      await cluster().installCrds()
      expect(await running).toEqual({
        code: 0,
        stderr: '',
        stdout:
          'waiting until the API server serves midflight.dev/v1alpha1\nAgentRuntime default of namespace team-a: applied\n',
      })
      expect(await read(RUNTIME)).toMatchObject({ spec: { replicas: 2, models: [{ name: 'default' }] } })
    })

    test('changes nothing when it is repeated', async () => {
      const before = (await read(RUNTIME)).metadata
      expect((await run()).code).toBe(0)
      expect((await read(RUNTIME)).metadata.resourceVersion).toBe(before.resourceVersion)
    })

    test('leaves what people set beside its fields, and sets its own again', async () => {
      const mine = { ...SCRIPTED, name: 'mine' }
      const edits = { replicas: 5, models: [mine], tools: { timeoutSeconds: 7 } }
      await cluster().apply(resource('AgentRuntime', 'team-a', 'default', edits))
      expect((await run()).code).toBe(0)
      const { models, ...rest } = (await read(RUNTIME)).spec
      expect(rest).toMatchObject({ replicas: 2, tools: { timeoutSeconds: 7 } })
      expect(models.map(({ name }) => name).sort()).toEqual(['default', 'mine'])
    })

    test('names the namespace that is not there', async () => {
      const { code, stderr } = await runHere([
        ...[
          'hook',
          'apply-defaults',
          '--spec',
          spec,
          '--namespaces',
          'nowhere',
          '--kubeconfig',
          cluster().kubeconfig(),
        ],
      ])
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr:
          'error: AgentRuntime default of namespace nowhere: namespaces "nowhere" not found; create the namespace\n',
      })
    })

    test('tells what the API server has against the spec', async () => {
      const wrong = join(cluster().folder, 'wrong.yaml')
      await writeFile(wrong, 'models: [{ name: default, provider: openai }]')
      const { code, stderr } = await run('--spec', wrong)
      expect(code).toBe(1)
      expect(stderr).toMatch(/provider scripted needs script, every other provider needs model.*correct defaultRuntime/)
    })

    test('refuses a file that holds no spec', async () => {
      const { code, stderr } = await run('--spec', join(cluster().folder, 'missing.yaml'))
      expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot be read: ENOENT') })
    })
  })

  describe('release-finalizers', () => {
    const named = ['--deployment', 'midflight-operator', '--deployment-namespace', SYSTEM]
    const run = (...flags: string[]) => runHere(['hook', 'release-finalizers', ...as('midflight-operator'), ...flags])
    const LABELS = { 'app.kubernetes.io/name': 'midflight', 'app.kubernetes.io/component': 'operator' }
    const finalizersIn = async (namespace: string) =>
      (
        await Promise.all(
          Object.keys(KINDS).map(
            async (plural) => (await read(`${API}/namespaces/${namespace}/${plural}/held`)).metadata,
          ),
        )
      ).map(({ finalizers }) => finalizers ?? [])

    async function makeHeld(namespace: string): Promise<void> {
      for (const [kind, held] of Object.values(KINDS)) {
        const object = resource(kind, namespace, 'held', held)
        const metadata = { ...object.metadata, finalizers: [FINALIZER, 'example.com/mine'] }
        await cluster().apply({ ...object, metadata })
      }
    }

    async function makeOperator(): Promise<void> {
      const template_ = { metadata: { labels: LABELS }, spec: { containers: [{ name: 'operator', image: 'none' }] } }
      await cluster().apply({
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { namespace: SYSTEM, name: 'midflight-operator' },
        spec: { replicas: 2, selector: { matchLabels: LABELS }, template: template_ },
      })
      await cluster().makePod({ namespace: SYSTEM, name: 'operator-1', labels: LABELS })
    }

    test('stops the operator first, waits for its pods, and releases everything, but not what others hold', async () => {
      await cluster().makeNamespace(SYSTEM)
      // The stand-ins of its pods say nothing about security.
      const unbound = ['label', 'namespace', SYSTEM, 'pod-security.kubernetes.io/enforce=privileged', '--overwrite']
      await cluster().kubectl(unbound)
      await makeOperator()
      await makeHeld('team-a')
      await makeHeld('team-b')
      const running = run(...named)
      const deployment = `/apis/apps/v1/namespaces/${SYSTEM}/deployments/midflight-operator`
      await until('it is scaled to 0', async () => (await read(deployment)).spec.replicas === 0)
      expect(await finalizersIn('team-a')).toContainEqual([FINALIZER, 'example.com/mine'])
      await cluster().deletePod(SYSTEM, 'operator-1')
      const { code, stdout } = await running
      expect(code).toBe(0)
      expect(stdout).toMatch(/^Deployment midflight-system\/midflight-operator: scaled to 0, waiting until its pods/)
      expect(stdout).toMatch(/\n8 objects released; runtimes go on serving what they hold\n$/)
      for (const namespace of ['team-a', 'team-b'])
        expect(await finalizersIn(namespace)).toEqual(Array.from({ length: 4 }, () => ['example.com/mine']))
    })

    test('has nothing to do when it is repeated', async () => {
      expect((await run(...named)).stdout).toContain('\n0 objects released')
    })

    test('releases nothing while a pod of the operator runs, and names it', async () => {
      await cluster().makePod({ namespace: SYSTEM, name: 'operator-2', labels: LABELS })
      await makeHeld('team-a')
      const { code, stderr } = await run(...named, '--timeout', '600ms')
      expect(code).toBe(1)
      expect(stderr).toMatch(/operator-2 of midflight-system still run; delete them by kubectl delete pod --force/)
      expect(await finalizersIn('team-a')).toContainEqual([FINALIZER, 'example.com/mine'])
      await cluster().deletePod(SYSTEM, 'operator-2')
    })

    test('goes on without an operator, and passes over a namespace that it has no rights in', async () => {
      await cluster().kubectl(['delete', 'deployment', 'midflight-operator', '-n', SYSTEM])
      await cluster().kubectl(['delete', 'clusterrolebinding', `${SYSTEM}:midflight-operator`])
      const role = ['--clusterrole', `${SYSTEM}:midflight-operator`, `--serviceaccount=${SYSTEM}:midflight-operator`]
      await cluster().kubectl(['create', 'rolebinding', 'operator', '-n', 'team-a', ...role])
      const { code, stdout } = await run(...named, '--namespaces', 'team-a,gone')
      expect(code).toBe(0)
      expect(stdout).toContain('midflight-operator is not there: there is no operator to stop')
      expect(stdout).toMatch(/Agent: passed over in namespace gone, which is gone or forbidden/)
      expect(stdout).toContain('\n4 objects released')
    })

    test('says what it may not read', async () => {
      const { code, stderr } = await run(...named)
      expect({ code, stderr }).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('error: AgentRuntime: agentruntimes'),
      })
    })
  })

  describe('test', () => {
    let runtimes: PodRuntime[]
    let operator: TestOperator | undefined
    const run = (...flags: string[]) => runHere(['hook', 'test', '--kubeconfig', cluster().kubeconfig(), ...flags])
    const there = () => ['--namespace', 'demo', '--runtime', 'default', '--url', runtimes[0]?.url ?? '']

    beforeAll(async () => {
      runtimes = await startPodRuntimes({ count: 2 })
      await adopt(cluster(), 'demo', runtimes)
    })
    afterAll(async () => {
      await operator?.stop()
      await Promise.all((runtimes ?? []).map((runtime) => runtime.stop()))
    })

    test('says that no operator looks, when none does, and leaves nothing behind', async () => {
      const rights = ['--namespace', SYSTEM, ...as('midflight-test')]
      const { code, stderr } = await run(...rights, '--timeout', '600ms')
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /AgentRuntime midflight-system\/midflight-test is ready did not come.*no operator has seen it: is one running/,
      )
      const left = await cluster().request('GET', `${API}/namespaces/${SYSTEM}/agentruntimes/midflight-test`)
      expect(left.status).toBe(404)
    })

    test('applies an agent, hears it, edits it, hears the edit, and removes it', async () => {
      operator = await startTestOperator(cluster())
      const { code, stdout, stderr } = await run(...there())
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toMatch(/it answers at http:.*\/agents\/midflight-test\/runs; editing it\n/)
      expect(stdout).toMatch(/the edit was served in .*, nothing was restarted\nthe agent is gone; the test passed\n$/)
      expect(await cluster().kubectl(['get', 'agents', '-n', 'demo', '-o', 'name'])).toBe('')
    })

    test('says where nothing answers', async () => {
      const { code, stderr } = await run(...there(), '--url', 'http://127.0.0.1:9', '--timeout', '1s')
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /http:\/\/127.0.0.1:9\/agents\/midflight-test\/runs does not answer: .*NetworkPolicy lets/s,
      )
      expect(await cluster().kubectl(['get', 'agents', '-n', 'demo', '-o', 'name'])).toBe('')
    })

    test('says that there is no such AgentRuntime, and which model one has to have', async () => {
      expect((await run('--namespace', 'demo', '--runtime', 'other')).stderr).toContain(
        'there is no AgentRuntime other in namespace demo',
      )
      const script = [{ match: 'x', reply: 'y' }]
      const models = [{ name: 'default', provider: 'scripted', script }]
      const { spec: declared } = await read(`${API}/namespaces/demo/agentruntimes/default`)
      await cluster().apply(resource('AgentRuntime', 'demo', 'default', { ...declared, models }))
      expect((await run(...there())).stderr).toMatch(
        /has no scripted model that repeats instructions; add to spec.models/,
      )
    })

    test('tells why an AgentRuntime is not ready', async () => {
      const { spec: declared } = await read(`${API}/namespaces/demo/agentruntimes/default`)
      const bundles = [{ name: 'files', configMap: 'missing' }]
      await cluster().apply(resource('AgentRuntime', 'demo', 'default', { ...declared, models: [SCRIPTED], bundles }))
      const { code, stderr } = await run(...there(), '--timeout', '1s')
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /AgentRuntime demo\/default is ready did not come to pass in 1 s: (Syncing|ConfigMapNotFound): /,
      )
    })
  })
})
