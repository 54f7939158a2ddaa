import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { KubeObject } from '../../src/kube/types.ts'
import { describeCluster, until, useCluster, WRITES } from './harness/index.ts'
import { createSkippingClock } from './support/clock/skipping.ts'
import { RUNTIME_IMAGE, startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { SCRIPTED } from './support/resource.ts'
import { ask } from './support/runtimes/in-process.ts'
import { startKubelet, type TestKubelet } from './support/runtimes/kubelet.ts'
import { type Scene, sceneOf } from './support/scene/scene.ts'

const GROUPS = {
  deployments: 'apis/apps/v1',
  services: 'api/v1',
  serviceaccounts: 'api/v1',
  secrets: 'api/v1',
  pods: 'api/v1',
  networkpolicies: 'apis/networking.k8s.io/v1',
  poddisruptionbudgets: 'apis/policy/v1',
} as const
type Plural = keyof typeof GROUPS

type Deployment = KubeObject & {
  readonly spec: {
    readonly replicas: number
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> }
      readonly spec: {
        readonly containers: readonly {
          readonly image: string
          readonly args: readonly string[]
          readonly env: readonly object[]
        }[]
        readonly volumes: readonly { readonly name: string }[]
      }
    }
  }
}

describeCluster('an AgentRuntime whose pods the operator runs', () => {
  const cluster = useCluster()
  const clock = createSkippingClock()
  let operator: TestOperator

  const pathOf = (namespace: string, plural: Plural, name: string) =>
    `/${GROUPS[plural]}/namespaces/${namespace}/${plural}/${name}`
  const find = async <T = KubeObject>(namespace: string, plural: Plural, name = 'main-runtime') => {
    const { status, body } = await cluster().request<T>('GET', pathOf(namespace, plural, name))
    return status === 200 ? body : undefined
  }
  const there = <T = KubeObject>(namespace: string, plural: Plural, name = 'main-runtime') =>
    until(`${plural}/${name} is there`, () => find<T>(namespace, plural, name))
  const gone = (namespace: string, plural: Plural, name = 'main-runtime') =>
    until(`${plural}/${name} is gone`, async () => (await find(namespace, plural, name)) === undefined)
  const deployment = (namespace: string) => there<Deployment>(namespace, 'deployments')
  const container = async (namespace: string) => {
    const [first] = (await deployment(namespace)).spec.template.spec.containers
    if (first === undefined) throw new Error('it has one')
    return first
  }
  const patch = (namespace: string, plural: Plural, body: object, name = 'main-runtime') =>
    cluster().call('PATCH', pathOf(namespace, plural, name), body)
  const remove = (namespace: string, plural: Plural, name = 'main-runtime') =>
    cluster().call('DELETE', pathOf(namespace, plural, name))
  const open = async (namespace: string, spec: object = {}): Promise<Scene> => {
    await cluster().makeNamespace(namespace)
    const restricted = 'pod-security.kubernetes.io/enforce=restricted'
    await cluster().kubectl(['label', 'namespace', namespace, restricted])
    const scene = sceneOf(cluster(), namespace, [])
    await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED], ...spec })
    return scene
  }

  beforeAll(async () => {
    await cluster().installCrds()
    // What collects garbage looks for kinds that are new only every 30 s.
    await cluster().startControllerManager()
    operator = await startTestOperator(cluster(), { clock })
  })
  afterAll(async () => {
    await operator?.stop()
  })

  describe('with a node for its pods', () => {
    const NAMESPACE = 'played'
    let scene: Scene
    let kubelet: TestKubelet
    const scale = (replicas: number) =>
      cluster().call('PATCH', `/apis/midflight.dev/v1alpha1/namespaces/${NAMESPACE}/agentruntimes/main/scale`, {
        spec: { replicas },
      })

    beforeAll(async () => {
      scene = await open(NAMESPACE)
      kubelet = startKubelet(cluster(), NAMESPACE, 'main')
      await scene.declare('Agent', 'support', { runtime: 'main', instructions: 'one' })
    })
    afterAll(() => kubelet?.close())

    test('has pods that a restricted namespace takes, which are called over TLS and serve its agents', async () => {
      await scene.shows('Agent', 'support')
      const { status } = await scene.shows('AgentRuntime', 'main')
      expect(status).toMatchObject({ replicas: 1, selector: 'midflight.dev/runtime=main', podSummary: '1/1' })
      const [runtime] = kubelet.runtimes.values()
      expect(await ask(runtime?.url ?? '', 'agents/support')).toBe('one')
    })

    test('has everything that its pods need, and all of it is its own', async () => {
      const [{ metadata }, owner] = [await deployment(NAMESPACE), await scene.object('AgentRuntime', 'main')]
      for (const plural of ['services', 'serviceaccounts', 'networkpolicies', 'deployments'] as const) {
        const object = await there(NAMESPACE, plural)
        expect(object.metadata.labels).toMatchObject({ 'midflight.dev/runtime': 'main' })
        expect(object.metadata.ownerReferences).toMatchObject([
          { kind: 'AgentRuntime', name: 'main', controller: true },
        ])
      }
      expect(metadata.ownerReferences).toMatchObject([{ uid: (owner.metadata as { uid?: string }).uid }])
      expect(await find(NAMESPACE, 'poddisruptionbudgets')).toBeUndefined()
      expect((await container(NAMESPACE)).image).toBe(RUNTIME_IMAGE)
      expect(await scene.events('Created', 'main')).toContain('Deployment "main-runtime" was created')
    })

    test('is scaled by its scale subresource, and more than one pod has a disruption budget', async () => {
      await scale(3)
      await there(NAMESPACE, 'poddisruptionbudgets')
      await until('three run', () => kubelet.runtimes.size === 3)
      await until('all serve', async () => {
        const answers = await Promise.all([...kubelet.runtimes.values()].map(({ url }) => ask(url, 'agents/support')))
        return answers.length === 3 && answers.every((answer) => answer === 'one')
      })
      await scale(1)
      await gone(NAMESPACE, 'poddisruptionbudgets')
      await until('one runs', () => kubelet.runtimes.size === 1)
      await scene.shows('Agent', 'support')
    })

    test('that is scaled to zero is Ready and not Available, and so are its agents', async () => {
      await scale(0)
      await scene.shows('AgentRuntime', 'main', 'Ready=True/ScaledToZero')
      await scene.shows('AgentRuntime', 'main', 'Available=False/NotServed')
      await scene.shows('Agent', 'support', 'Ready=True/ScaledToZero')
      await scale(1)
      await scene.shows('Agent', 'support')
      await scene.shows('AgentRuntime', 'main')
    })

    test('is called by an operator that starts while its spec is impossible: edits of its agents serve on', async () => {
      await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED], network: { allow: ['10.0.0.0/99'] } })
      await scene.shows('AgentRuntime', 'main', 'Accepted=False/InvalidSpec')
      await operator.stop()
      operator = await startTestOperator(cluster(), { clock })
      await scene.declare('Agent', 'support', { runtime: 'main', instructions: 'two' })
      const [runtime] = kubelet.runtimes.values()
      await until('the edit serves', async () => (await ask(runtime?.url ?? '', 'agents/support')) === 'two')
      await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED] })
      await scene.shows('AgentRuntime', 'main')
    })

    test('keeps its pods when a bundle comes, and mounts it when something else rolls them', async () => {
      const [before] = kubelet.runtimes.keys()
      const { spec } = await deployment(NAMESPACE)
      await scene.files('files', { 'note.prompt.md': 'a note' })
      const bundles = [{ name: 'files', configMap: 'files' }]
      await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED], bundles })
      await scene.declare('Agent', 'noted', { runtime: 'main', prompt: { file: 'note.md' } })
      await scene.shows('Agent', 'noted')
      expect([...kubelet.runtimes.keys()]).toEqual([before])
      expect((await deployment(NAMESPACE)).spec.template).toEqual(spec.template)
      const from = (await scene.object('Agent', 'noted')).metadata.resourceVersion
      await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED], bundles, env: [{ name: 'A', value: 'b' }] })
      await until('another pod serves', () => kubelet.runtimes.size === 1 && !kubelet.runtimes.has(before ?? ''))
      const { template } = (await deployment(NAMESPACE)).spec
      expect(template.spec.volumes.map(({ name }) => name)).toContain('bundle-files')
      expect(template.spec.containers[0]?.args).toContain('files=/etc/midflight/bundles/files')
      // A pod that joins or leaves is no reason to say anything of what every other one serves.
      const { metadata } = await scene.shows('Agent', 'noted')
      expect(metadata.resourceVersion).toBe(from)
    })

    test('says of a pod that does not come up why, as the pod says, and serves on', async () => {
      const [before] = kubelet.runtimes.keys()
      kubelet.mayStart = () => false
      await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED], image: 'example.test/none:0' })
      const name = await until('the new pod', async () => {
        const { items } = await cluster().call<{ items: KubeObject[] }>('GET', pathOf(NAMESPACE, 'pods', ''))
        return items.find(({ metadata }) => metadata.name !== before)?.metadata.name
      })
      const waiting = { reason: 'ImagePullBackOff', message: 'Back-off pulling image' }
      const state = { name: 'runtime', image: 'example.test/none:0', imageID: '', ready: false, restartCount: 0 }
      await cluster().call('PATCH', `${pathOf(NAMESPACE, 'pods', name)}/status`, {
        status: { phase: 'Pending', containerStatuses: [{ ...state, state: { waiting } }] },
      })
      await until('it is told', async () => {
        const { status } = await scene.shows('AgentRuntime', 'main')
        const ready = status?.conditions?.find(({ type }) => type === 'Ready')
        return ready?.message.includes('image "example.test/none:0" cannot be pulled')
      })
      expect([...kubelet.runtimes.keys()]).toEqual([before])
    })
  })

  describe('that somebody else works on', () => {
    const NAMESPACE = 'drifts'
    let scene: Scene
    beforeAll(async () => {
      scene = await open(NAMESPACE, { replicas: 2 })
      for (const plural of ['deployments', 'services', 'poddisruptionbudgets'] as const) await there(NAMESPACE, plural)
    })

    test.each<[string, Plural, object, (object: Deployment) => unknown, unknown]>([
      [
        'a label',
        'services',
        { metadata: { labels: { 'midflight.dev/runtime': 'x' } } },
        ({ metadata }) => metadata.labels?.['midflight.dev/runtime'],
        'main',
      ],
      [
        'the operator’s label',
        'services',
        { metadata: { labels: { 'app.kubernetes.io/managed-by': null } } },
        ({ metadata }) => metadata.labels?.['app.kubernetes.io/managed-by'],
        'midflight',
      ],
      [
        'its owner',
        'networkpolicies',
        { metadata: { ownerReferences: null } },
        ({ metadata }) => Array.isArray(metadata.ownerReferences),
        true,
      ],
      ['the number of its pods', 'deployments', { spec: { replicas: 5 } }, ({ spec }) => spec.replicas, 2],
      [
        'a field of its pods',
        'deployments',
        { spec: { template: { spec: { automountServiceAccountToken: true } } } },
        ({ spec }) => (spec.template.spec as { automountServiceAccountToken?: boolean }).automountServiceAccountToken,
        false,
      ],
    ])('has %s put back', async (...[, plural, change, field, expected]) => {
      await patch(NAMESPACE, plural, change)
      await until('it is put back', async () => field(await there<Deployment>(NAMESPACE, plural)) === expected)
    })

    test.each(['services', 'networkpolicies', 'serviceaccounts', 'poddisruptionbudgets', 'deployments'] as const)(
      'has what was deleted of its %s again',
      async (plural) => {
        const { uid } = (await there(NAMESPACE, plural)).metadata
        await remove(NAMESPACE, plural)
        await until('another is there', async () => {
          const now = (await find(NAMESPACE, plural))?.metadata.uid
          return now !== undefined && now !== uid
        })
      },
    )

    /** Waits until status says what there is, so that nobody has anything to add. */
    const isTold = async () => {
      const pods = `${pathOf(NAMESPACE, 'pods', '')}?labelSelector=midflight.dev/runtime%3Dmain`
      await until('its two pods are there, and no others', async () => {
        const { items } = await cluster().call<{ items: KubeObject[] }>('GET', pods)
        return items.length === 2
      })
      let before: string | undefined
      await until('status tells of them, and goes on telling the same', async () => {
        // Numbers of pods alone are told every 30 s.
        clock.skip(31_000)
        const { metadata, status } = await scene.object('AgentRuntime', 'main')
        const isSame = metadata.resourceVersion === before
        before = metadata.resourceVersion
        return isSame && status?.replicas === 2 && status.podSummary === '0/2'
      })
    }

    test('is written nothing of, its status neither, by an operator that starts anew', async () => {
      const user = 'restarted'
      const kubeconfig = await cluster().addUser(user, ['system:masters'])
      const other = await open('anew', { replicas: 0 })
      await other.shows('AgentRuntime', 'main', 'Ready=True/ScaledToZero')
      await isTold()
      const { metadata } = await scene.object('AgentRuntime', 'main')
      await operator.stop()
      operator = await startTestOperator(cluster(), { kubeconfig, clock })
      await until('it leads', () => operator.phase() === 'leading')
      for (const name of ['first', 'second']) {
        // What comes after is told of: so it has looked at what was there, also once numbers of pods were due.
        await other.declare('AgentRuntime', name, { models: [SCRIPTED], replicas: 0 })
        await other.shows('AgentRuntime', name, 'Ready=True/ScaledToZero')
        await there('anew', 'deployments', `${name}-runtime`)
        await until('it has looked', async () => {
          const depths = (await operator.metricsText()).match(/^workqueue_depth\{.*\} \d+$/gm) ?? []
          return depths.length > 0 && depths.every((depth) => depth.endsWith(' 0'))
        })
        clock.skip(31_000)
      }
      const writes = await cluster().auditEvents({ user, verbs: WRITES })
      const ofOthers = ['anew', 'played']
      const told = writes.filter(({ resource, namespace }) => resource !== 'leases' && !ofOthers.includes(namespace))
      expect(told.map(({ verb, path }) => `${verb} ${path}`)).toEqual([])
      expect((await scene.object('AgentRuntime', 'main')).metadata).toEqual(metadata)
    })
  })

  test('that takes running pods from now on has nothing of its own left, and has it again afterwards', async () => {
    const scene = await open('adopts', { replicas: 1 })
    await deployment('adopts')
    const adopt = { selector: { matchLabels: { app: 'x' } }, tokenSecretRef: { name: 'none', key: 'token' } }
    await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED], replicas: 1, adopt })
    for (const plural of ['deployments', 'services', 'networkpolicies', 'serviceaccounts'] as const)
      await gone('adopts', plural)
    await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED] })
    await deployment('adopts')
    await there('adopts', 'services')
  })

  test('that is deleted takes everything with it', async () => {
    const scene = await open('ends', { replicas: 2 })
    await deployment('ends')
    await there('ends', 'secrets', 'main-runtime-key')
    await scene.remove('AgentRuntime', 'main')
    for (const plural of Object.keys(GROUPS) as Plural[]) {
      const names = plural === 'secrets' ? ['main-runtime-key', 'main-runtime-management'] : ['main-runtime']
      for (const name of names) await gone('ends', plural, name)
    }
  })

  test('takes over nothing of its name that is somebody else’s, and says what is in the way', async () => {
    await cluster().makeNamespace('foreign')
    const metadata = { namespace: 'foreign', name: 'main-runtime' }
    const service = { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ port: 80 }] } }
    await cluster().apply(service)
    const scene = await open('foreign')
    const { status } = await scene.shows('AgentRuntime', 'main', 'Ready=False/NameTaken')
    expect(status?.conditions?.find(({ type }) => type === 'Ready')?.message).toMatch(
      /Service "main-runtime" .*delete it/,
    )
    await scene.shows('AgentRuntime', 'main', 'Reconciling=True/NameTaken')
    await deployment('foreign')
    expect((await there('foreign', 'services')).spec).toMatchObject({ ports: [{ port: 80 }] })
    expect(await scene.events('NameTaken', 'main')).toHaveLength(1)
    await remove('foreign', 'services')
    clock.skip(31_000)
    await until('it has its own', async () => (await find('foreign', 'services'))?.metadata.labels !== undefined)
    await scene.shows('AgentRuntime', 'main', 'Ready=False/Pods')
  })

  describe('that says what cannot be', () => {
    const NAMESPACE = 'refused'
    let scene: Scene
    const BAD = [
      ['a clash', { volumes: [{ name: 'boot', emptyDir: {} }] }, /spec\.pod\.volumes\[0\]\.name: "boot" is a volume/],
      [
        'an affinity that the API server refuses',
        { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } } },
        /spec\.pod\.affinity: the API server refuses the Deployment: .*nodeSelectorTerms/,
      ],
      ['a field that Kubernetes does not have', { tolerations: [{ kei: 'a' }] }, /spec\.pod\.tolerations.*kei/],
    ] as const
    beforeAll(async () => {
      scene = await open(NAMESPACE)
      await deployment(NAMESPACE)
    })

    test.each(BAD)('as %s is told the field and the fix, and what was good stays', async (_, pod, message) => {
      const { spec } = await deployment(NAMESPACE)
      await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED], pod, replicas: 2 })
      const { status } = await scene.shows('AgentRuntime', 'main', 'Accepted=False/InvalidSpec')
      expect(status?.conditions?.find(({ type }) => type === 'Ready')?.message).toMatch(message)
      await there(NAMESPACE, 'poddisruptionbudgets')
      expect((await deployment(NAMESPACE)).spec).toEqual(spec)
      await scene.declare('AgentRuntime', 'main', { models: [SCRIPTED] })
      await scene.shows('AgentRuntime', 'main', 'Accepted=True/Accepted')
      await gone(NAMESPACE, 'poddisruptionbudgets')
    })
  })
})
