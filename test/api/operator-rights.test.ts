import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { RIGHTS } from '../../src/operator/index.ts'
import { type Cluster, describeCluster, until, useCluster } from './harness/index.ts'
import { createSkippingClock } from './support/clock/skipping.ts'
import { installedEverywhere, installedRights, OPERATOR_ROLE, SYSTEM } from './support/deploy/install.ts'
import { startTestOperator, type TestOperatorOptions } from './support/operator/operator.ts'
import { read, resource, told } from './support/resource.ts'
import { ask, type PodRuntime, startPodRuntimes } from './support/runtimes/in-process.ts'
import { adopt } from './support/scene/adopt.ts'

const ACCOUNT = `system:serviceaccount:${SYSTEM}:midflight-operator`

const files = (tool: string) => ({
  'echo.tool.ts': `export default { description: 'x', parameters: { type: 'object', properties: {} }, execute: () => ${tool} }`,
})
const workflow = (namespace: string, when: string) =>
  resource('Workflow', namespace, 'flow', { steps: [{ name: 'one', agent: 'support', when }] })

/** Everything that the operator does in one namespace; at the end nothing is declared there. */
async function exercise(cluster: Cluster, namespace: string, runtime: PodRuntime): Promise<void> {
  const ready = async (plural: string, name: string) => told(await read(cluster, plural, namespace, name))
  const isServed = (plural: string, name: string) =>
    until(
      `${plural}/${name} of ${namespace} is served`,
      async () => (await ready(plural, name)) === 'Ready=True/Served',
    )
  const setFiles = (tool: string) =>
    cluster.apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { namespace, name: 'files' },
      data: files(tool),
    } as never)
  await cluster.makeNamespace(namespace)
  await setFiles("'one'")
  await adopt(cluster, namespace, [runtime], { spec: { bundles: [{ name: 'files', configMap: 'files' }] } })
  const agent = (instructions: string) => resource('Agent', namespace, 'support', { instructions, tools: ['echo'] })
  await cluster.apply(agent('one'))
  await cluster.apply(resource('Team', namespace, 'desk', { members: [{ agent: 'support' }] }))
  await cluster.apply(workflow(namespace, 'true'))
  await isServed('agents', 'support')
  await isServed('teams', 'desk')
  await isServed('workflows', 'flow')
  const isDone = async (verb: string) =>
    (await cluster.auditEvents({ namespace, user: ACCOUNT, resource: 'secrets', verbs: [verb] })).length > 0
  await until('a boot set is written', () => isDone('create'))
  await cluster.apply(agent('two'))
  await until('the edit is served', async () => (await ask(runtime.url, 'agents/support')) === 'two')
  await until('the older boot set is taken away', () => isDone('delete'))
  await setFiles('{')
  await until('it is refused', async () => (await ready('agentruntimes', 'default')) === 'Ready=False/InvalidSyntax')
  await setFiles("'two'")
  await isServed('agentruntimes', 'default')
  await cluster.kubectl(['delete', 'agent/support', 'team/desk', 'workflow/flow', '-n', namespace, '--wait'])
  await cluster.kubectl(['delete', 'agentruntime/default', '-n', namespace, '--wait'])
}

/** One whose pods the operator runs: all that it is made of comes, and goes when it takes running pods instead. */
async function exerciseManaged(cluster: Cluster, namespace: string): Promise<void> {
  const pathOf = (plural: string, group: string) => `/${group}/namespaces/${namespace}/${plural}/own-runtime`
  const paths = [
    pathOf('serviceaccounts', 'api/v1'),
    pathOf('services', 'api/v1'),
    pathOf('networkpolicies', 'apis/networking.k8s.io/v1'),
    pathOf('poddisruptionbudgets', 'apis/policy/v1'),
    pathOf('deployments', 'apis/apps/v1'),
  ]
  const areAll = (status: number) =>
    until(`all answer ${status}`, async () => {
      const answers = await Promise.all(paths.map((path) => cluster.request('GET', path)))
      return answers.every((answer) => answer.status === status)
    })
  await cluster.apply(resource('AgentRuntime', namespace, 'own', { replicas: 2 }))
  await areAll(200)
  const adopted = { selector: { matchLabels: { app: 'none' } }, tokenSecretRef: { name: 'management', key: 'token' } }
  await cluster.apply(resource('AgentRuntime', namespace, 'own', { replicas: 1, adopt: adopted }))
  await areAll(404)
  await cluster.kubectl(['delete', 'agentruntime/own', '-n', namespace, '--wait'])
}

/** The same Event twice, and the time after which its count is written. */
async function repeatAnEvent(cluster: Cluster, namespace: string, skip: (ms: number) => void): Promise<void> {
  const tells = (accepted: string) => () =>
    until(`the workflow is ${accepted}`, async () =>
      told(await read(cluster, 'workflows', namespace, 'flow'), 'Accepted').startsWith(accepted),
    )
  for (const when of ['1 +', 'true', '1 +']) {
    await cluster.apply(workflow(namespace, when))
    await tells(when === 'true' ? 'Accepted=True' : 'Accepted=False')()
  }
  const find = async (isIt: (event: Told) => boolean) => {
    const { items } = await cluster.call<{ items: readonly Told[] }>(
      'GET',
      `/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
    )
    return items.some((event) => event.reason === 'InvalidExpression' && isIt(event))
  }
  await until('the event is there', () => find(() => true))
  skip(301_000)
  await until('the event is counted', () => find(({ series }) => series?.count === 2))
}

type Told = { readonly reason: string; readonly series?: { readonly count: number } }

type Used = { readonly refused: readonly string[]; readonly unused: readonly string[] }

/** What the operator was refused since a moment, and what it was granted and did not ask for. */
async function rightsUsedSince(cluster: Cluster, since: number): Promise<Used> {
  const events = (await cluster.auditEvents({ user: ACCOUNT })).filter(({ at }) => at >= since)
  const nameOf = (group: string, plural: string, verb: string) => `${verb} ${plural}${group && `.${group}`}`
  const asked = new Set(
    events.flatMap(({ group, resource: plural, subresource, verb, code }) => {
      const name = subresource === '' ? plural : `${plural}/${subresource}`
      // An apply of what is not there yet asks for both.
      const verbs = verb === 'patch' && code === 201 ? ['patch', 'create'] : [verb]
      return verbs.map((each) => nameOf(group, name, each))
    }),
  )
  // Admission asks for the right to finalizers, and no request: without it every apply of an owned object is refused.
  const granted = RIGHTS.flatMap(({ group, resources, verbs }) =>
    resources
      .filter((plural) => !plural.endsWith('/finalizers'))
      .flatMap((plural) => verbs.map((verb) => nameOf(group, plural, verb))),
  )
  return {
    refused: [...new Set(events.filter(({ code }) => code === 403).map(({ verb, path }) => `${verb} ${path}`))],
    unused: granted.filter((right) => !asked.has(right)),
  }
}

// Without WatchList, as before Kubernetes 1.34, everything is listed before it is watched: that takes one more verb.
describeCluster('the rights of the operator', () => {
  const cluster = useCluster({ watchList: false })
  let runtimes: PodRuntime[]

  beforeAll(async () => {
    await cluster().installCrds()
    await cluster().kubectl(['apply', '-f', '-'], await installedRights())
    await cluster().serviceAccountToken(SYSTEM, 'midflight-operator')
    runtimes = await startPodRuntimes({ count: 2 })
  })
  afterAll(async () => {
    await Promise.all((runtimes ?? []).map((runtime) => runtime.stop()))
  })

  /** @throws Error with what was refused, when something did not come to pass */
  async function runEverything(namespaces: readonly string[], watched: readonly string[]): Promise<Used> {
    const since = Date.now()
    const common = { kubeconfig: cluster().kubeconfig(ACCOUNT), leaseNamespace: SYSTEM, namespaces: watched }
    const withOperator = async (options: TestOperatorOptions, act: () => Promise<void>) => {
      const operator = await startTestOperator(cluster(), { ...common, ...options })
      try {
        await until('the operator leads', () => operator.phase() === 'leading')
        await act()
      } catch (cause) {
        const { refused } = await rightsUsedSince(cluster(), since)
        throw new Error(`${String(cause)}; refused: ${refused.join(', ') || 'nothing'}`, { cause })
      } finally {
        await operator.stop()
      }
    }
    await withOperator({ leaderElection: true }, async () => {
      for (const [index, namespace] of namespaces.entries())
        await exercise(cluster(), namespace, runtimes[index] as PodRuntime)
      for (const namespace of namespaces) await exerciseManaged(cluster(), namespace)
    })
    // What moves the clock would lose an election.
    const clock = createSkippingClock()
    await withOperator({ leaderElection: false, clock }, () =>
      repeatAnEvent(cluster(), namespaces[0] ?? '', clock.skip),
    )
    return rightsUsedSince(cluster(), since)
  }

  const NOTHING: Used = { refused: [], unused: [] }

  test('in two namespaces, by a RoleBinding in each, suffice there, are all used, and nothing else is asked for', async () => {
    const namespaces = ['team-a', 'team-b']
    for (const namespace of namespaces) {
      await cluster().makeNamespace(namespace)
      const subject = [`--clusterrole=${OPERATOR_ROLE}`, `--serviceaccount=${SYSTEM}:midflight-operator`]
      await cluster().kubectl(['create', 'rolebinding', 'midflight-operator', '-n', namespace, ...subject])
    }
    expect(await runEverything(namespaces, namespaces)).toEqual(NOTHING)
  })

  test('in all namespaces, by a ClusterRoleBinding, suffice and are all used', async () => {
    await cluster().kubectl(['apply', '-f', '-'], await installedEverywhere())
    expect(await runEverything(['team-c', 'team-d'], [])).toEqual(NOTHING)
  })

  describe('and of people:', () => {
    const mayWrite = async (user: string, plural: string) => {
      const mayDo = (verb: string) =>
        cluster()
          .kubectl(['auth', 'can-i', verb, `${plural}.midflight.dev`, '-n', 'default', `--as=${user}`])
          .then(
            (answer) => answer.trim() === 'yes',
            () => false,
          )
      const [reads, ...writes] = await Promise.all(['get', 'create', 'update', 'patch', 'delete'].map(mayDo))
      return { reads, writes: writes.every(Boolean) ? true : writes.some(Boolean) ? 'in part' : false }
    }
    const bind = (user: string, role: string) =>
      cluster().kubectl(['create', 'rolebinding', user, '-n', 'default', `--clusterrole=${role}`, `--user=${user}`])

    test('midflight-editor writes agents, teams and workflows, and reads what serves them', async () => {
      await bind('erin', 'midflight-editor')
      for (const plural of ['agents', 'teams', 'workflows'])
        expect(await mayWrite('erin', plural)).toEqual({ reads: true, writes: true })
      expect(await mayWrite('erin', 'agentruntimes')).toEqual({ reads: true, writes: false })
    })

    test('an agent is created as midflight-editor, and an AgentRuntime is refused', async () => {
      const create = (manifest: object) =>
        cluster().kubectl(['create', '--as=erin', '-f', '-'], JSON.stringify(manifest))
      await create(resource('Agent', 'default', 'mine', { instructions: 'x' }))
      await expect(create(resource('AgentRuntime', 'default', 'mine', {}))).rejects.toThrow(/erin.*cannot create/)
    })

    test('midflight-admin writes AgentRuntimes too', async () => {
      await bind('ada', 'midflight-admin')
      expect(await mayWrite('ada', 'agentruntimes')).toEqual({ reads: true, writes: true })
      expect(await mayWrite('ada', 'agents')).toEqual({ reads: true, writes: true })
    })

    test('the built-in edit includes midflight-editor, and admin includes midflight-admin', async () => {
      await cluster().startControllerManager()
      await bind('ed', 'edit')
      await bind('alma', 'admin')
      const both = { reads: true, writes: true }
      await until('edit is aggregated', async () => (await mayWrite('ed', 'agents')).writes === true)
      await until('admin is aggregated', async () => (await mayWrite('alma', 'agentruntimes')).writes === true)
      expect(await mayWrite('ed', 'agentruntimes')).toEqual({ reads: true, writes: false })
      expect(await mayWrite('alma', 'agents')).toEqual(both)
    })
  })
})
