import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { KINDS } from '../../src/api/index.ts'
import { describeCluster, type Manifest, useCluster } from './harness/index.ts'
import { CHART, helmOf, template } from './support/deploy/helm.ts'
import { objectsOf, SYSTEM } from './support/deploy/install.ts'

const SAMPLES = join(import.meta.dirname, '../../deploy/samples')

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const CRD_NAMES = ['agentruntimes', 'agents', 'teams', 'workflows'].map((plural) => `${plural}.midflight.dev`)

const SPREAD = '[{"maxSkew":2,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{}}]'
const VALUE_SETS: Readonly<Record<string, readonly string[]>> = {
  'default values': [],
  'two namespaces and a default runtime': ['--set', 'namespaces={team-a,team-b},defaultRuntime.enabled=true'],
  'a default runtime elsewhere': ['--set', 'defaultRuntime.enabled=true,defaultRuntime.namespaces={team-a}'],
  'nothing that is shared in a cluster': [
    ...['--set', 'namespaces={team-a},crds.enabled=false,peopleRoles.enabled=false'],
    ...['--set', 'networkPolicy.enabled=false,podDisruptionBudget.enabled=false,metrics.service.enabled=false'],
    ...['--set', 'test.enabled=false'],
  ],
  'everything about pods': [
    ...['--set', 'image.repository=registry.example/agents/midflight,image.tag=1.2.3,image.pullPolicy=Always'],
    ...['--set', 'imagePullSecrets[0].name=pull,priorityClassName=system-cluster-critical,replicas=1,workers=5'],
    ...['--set', 'nodeSelector.disk=ssd,podLabels.team=ai,podAnnotations.note=x,podSecurityContext.runAsUser=1000'],
    ...[
      '--set',
      'tolerations[0].key=a,tolerations[0].operator=Exists,serviceAccount.annotations.role=y,maxHeapMiB=512',
    ],
    ...['--set-json', `topologySpreadConstraints=${SPREAD}`],
    ...['--set-json', 'affinity={"podAntiAffinity":{}}', '--set', 'defaultRuntime.enabled=true'],
  ],
}

const WRONG_VALUES: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['a misspelt value', ['--set', 'replica=3'], /additional properties 'replica' not allowed/],
  ['a misspelt field of image', ['--set', 'image.tags=x'], /'\/image': additional properties 'tags' not allowed/],
  ['a tag that YAML reads as a number', ['--set', 'image.tag=5'], /'\/image\/tag': got number, want string/],
  ['a log level that there is not', ['--set', 'logLevel=trace'], /'\/logLevel': value must be one of 'debug', 'info'/],
  ['a namespace that cannot be', ['--set', 'namespaces={Team}'], /'\/namespaces\/0': 'Team' does not match pattern/],
  [
    'a field that an AgentRuntime has not',
    ['--set', 'defaultRuntime.spec.modls=x'],
    /'\/defaultRuntime\/spec': additional properties 'modls' not allowed/,
  ],
  [
    'a provider that there is not',
    ['--set-json', 'defaultRuntime.spec.models=[{"name":"x","provider":"opnai"}]'],
    /'\/defaultRuntime\/spec\/models\/0\/provider': value must be one of 'openai'/,
  ],
  [
    'a default runtime where the operator does not look',
    ['--set', 'namespaces={a},defaultRuntime.enabled=true,defaultRuntime.namespaces={b}'],
    /defaultRuntime.namespaces: the operator does not watch "b": add it to namespaces, or take it out here/,
  ],
  [
    'no name for a ServiceAccount that is there',
    ['--set', 'serviceAccount.create=false'],
    /serviceAccount.name: name the ServiceAccount, as serviceAccount.create is false/,
  ],
]

const AGENT = {
  apiVersion: 'midflight.dev/v1alpha1',
  kind: 'Agent',
  metadata: { namespace: 'team-a', name: 'support' },
  spec: { instructions: 'x' },
}

type Pods = { readonly spec: { readonly template: { readonly spec: object } } }

describeCluster('the chart', () => {
  const cluster = useCluster()
  const helm = (args: readonly string[]) => helmOf(cluster())(args)

  beforeAll(async () => {
    for (const name of [SYSTEM, 'team-a', 'team-b', 'default']) await cluster().makeNamespace(name)
    // A dry run makes none, and no pod may be without.
    await cluster().apply(account(SYSTEM, 'midflight-test'))
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
    await cluster().apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'strict', labels } })
  })

  test('has nothing that helm lint complains of', async () => {
    expect(await helm(['lint', CHART, '--strict'])).toContain('1 chart(s) linted, 0 chart(s) failed')
  })

  test('has no value that docs/install.md does not tell', async () => {
    const doc = await readFile(join(import.meta.dirname, '../../docs/install.md'), 'utf8')
    const values = parse(await readFile(join(CHART, 'values.yaml'), 'utf8')) as object
    expect(pathsOf(values).filter((path) => !doc.includes(`\`${path}\``))).toEqual([])
  })

  test.each(Object.entries(VALUE_SETS))('with %s is what an API server takes', async (_, values) => {
    const rendered = await template(values)
    await cluster().kubectl(['apply', '--server-side', '--dry-run=server', '-f', '-'], rendered)
  })

  test('is deploy/install.yaml too, which an API server takes as it stands', async () => {
    const file = join(CHART, '../../deploy/install.yaml')
    await cluster().kubectl(['apply', '--server-side', '--dry-run=server', '-f', file])
    await cluster().kubectl(['apply', '--dry-run=server', '-f', file])
  })

  test.each(WRONG_VALUES)('refuses %s', async (_, values, message) => {
    await expect(template(values)).rejects.toThrow(message)
  })

  test.each(Object.keys(VALUE_SETS))('with %s has only pods that Pod Security "restricted" lets in', async (name) => {
    const objects = objectsOf(await template(VALUE_SETS[name]))
    const specs = objects.flatMap((object) => {
      if (object.kind === 'Pod') return [object.spec]
      return ['Deployment', 'Job'].includes(object.kind) ? [(object as Manifest & Pods).spec.template.spec] : []
    })
    expect(specs.length).toBeGreaterThanOrEqual(2)
    for (const [index, spec] of specs.entries()) {
      await cluster().apply(account('strict', (spec as { serviceAccountName: string }).serviceAccountName))
      const { priorityClassName: _, ...plain } = spec as { priorityClassName?: string }
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: `pod-${index}`, namespace: 'strict' },
        spec: plain,
      }
      await cluster().kubectl(['create', '--dry-run=server', '-f', '-'], JSON.stringify(pod))
    }
  })

  test('reads Secrets of all namespaces by default, and with `namespaces` only there', async () => {
    const rolesOf = (yaml: string) =>
      objectsOf(yaml).filter(
        ({ kind, metadata: { name } }) => kind.endsWith('Role') && name === `${SYSTEM}:midflight-operator`,
      )
    expect(rolesOf(await template()).map(({ kind }) => kind)).toEqual(['ClusterRole'])
    const narrow = rolesOf(await template(['--set', 'namespaces={team-a,team-b}']))
    expect(narrow.map(({ kind, metadata }) => `${kind} ${metadata.namespace}`)).toEqual(['Role team-a', 'Role team-b'])
  })

  test('may let go of what is declared in a namespace that is deleted, where it is told to', async () => {
    const name = `${SYSTEM}:midflight-operator-finalizers`
    const found = (yaml: string) => objectsOf(yaml).filter(({ metadata }) => metadata.name === name)
    expect(found(await template(['--set', 'namespaces={team-a}']))).toEqual([])
    const values = 'namespaces={team-a},namespaceDeletion.enabled=true'
    const [role, binding] = found(await template(['--set', values]))
    const resources = Object.values(KINDS).map(({ plural }) => plural)
    expect(role).toMatchObject({
      kind: 'ClusterRole',
      rules: [{ apiGroups: ['midflight.dev'], resources, verbs: ['patch'] }],
    })
    expect(binding).toMatchObject({ kind: 'ClusterRoleBinding', subjects: [{ name: 'midflight-operator' }] })
  })

  test('asks Prometheus’ operator to scrape it, where it is told to', async () => {
    const yaml = await template([
      '--set',
      'metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.labels.release=x',
    ])
    const monitor = objectsOf(yaml).find(({ kind }) => kind === 'ServiceMonitor')
    expect(monitor).toMatchObject({
      metadata: { labels: { release: 'x' } },
      spec: { endpoints: [{ port: 'metrics' }] },
    })
  })

  // No node runs the hooks' pods here.
  const RELEASE = ['-n', SYSTEM, '--no-hooks']

  describe('and the samples:', () => {
    const sample = (path: string) => join(SAMPLES, path)

    beforeAll(() => cluster().installCrds())

    test('the quickstart is applied as it stands, and takes over the default AgentRuntime of the chart', async () => {
      const spec = {
        replicas: 3,
        models: [{ name: 'default', provider: 'scripted', script: [{ match: '.*', reply: 'x' }] }],
      }
      await cluster().apply({
        ...AGENT,
        kind: 'AgentRuntime',
        metadata: { namespace: 'default', name: 'default' },
        spec,
      })
      await cluster().kubectl(['apply', '-k', sample('quickstart')])
      await cluster().kubectl(['get', 'configmap', 'quickstart-files'])
      const names = await cluster().kubectl(['get', 'midflight', '-o', 'name'])
      expect(names.trim().split('\n').sort()).toEqual([
        'agent.midflight.dev/concierge',
        'agent.midflight.dev/support',
        'agent.midflight.dev/writer',
        'agentruntime.midflight.dev/default',
        'team.midflight.dev/front-desk',
        'workflow.midflight.dev/briefing',
      ])
      const path = '/apis/midflight.dev/v1alpha1/namespaces/default/agentruntimes/default'
      const { spec: taken } = await cluster().call<{ spec: { replicas: number; models: { name: string }[] } }>(
        'GET',
        path,
      )
      expect(taken.replicas).toBe(3)
      expect(taken.models.map(({ name }) => name)).toEqual(['default', 'concierge', 'writer'])
    })

    test('the default runtime is one thing by Helm and without', async () => {
      const rendered = objectsOf(await template(['-f', sample('default-runtime/values.yaml')]))
      const hook = rendered.find(({ kind }) => kind === 'ConfigMap') as Manifest & { data: { 'spec.json': string } }
      const text = await readFile(sample('default-runtime/runtime.yaml'), 'utf8')
      expect(JSON.parse(hook.data['spec.json'])).toEqual(objectsOf(text)[0]?.spec)
      await cluster().kubectl(['apply', '--dry-run=server', '-n', 'team-a', '-f', '-'], text)
    })
  })

  describe('brings CustomResourceDefinitions that', () => {
    const crd = (name: string) =>
      cluster().call<{ metadata: object; spec: { names: { shortNames?: string[] } } }>('GET', `${CRDS}/${name}`)
    const edit = (short: string) => helm(['upgrade', 'midflight', short, ...RELEASE])

    beforeAll(async () => {
      await cluster().kubectl(['delete', 'crd', '--all', '--wait'])
      await cluster().kubectl(['delete', 'serviceaccount', 'midflight-test', '-n', SYSTEM])
      await helm(['install', 'midflight', CHART, ...RELEASE])
    })

    test('an upgrade of the release brings up to date', async () => {
      const changed = join(cluster().folder, 'changed')
      await cp(CHART, changed, { recursive: true })
      const file = join(changed, 'files/crds/agents.yaml')
      const text = await readFile(file, 'utf8')
      await writeFile(file, text.replace('shortNames:', 'shortNames:\n      - newer'))
      await edit(changed)
      expect((await crd('agents.midflight.dev')).spec.names.shortNames).toContain('newer')
      await edit(CHART)
      expect((await crd('agents.midflight.dev')).spec.names.shortNames).not.toContain('newer')
    })

    test('stay when it is uninstalled, and with them every agent', async () => {
      await cluster().apply(AGENT)
      const told = await helm(['uninstall', 'midflight', ...RELEASE])
      expect(told).toContain('These resources were kept due to the resource policy')
      for (const name of CRD_NAMES) expect((await crd(name)).metadata).not.toHaveProperty('deletionTimestamp')
      expect(await cluster().kubectl(['get', 'agents', '-n', 'team-a', '-o', 'name'])).toContain(
        'agent.midflight.dev/support',
      )
    })

    test('a release of the same name takes again', async () => {
      await helm(['install', 'midflight', CHART, ...RELEASE])
      await helm(['uninstall', 'midflight', ...RELEASE])
    })

    test('a release of another name or namespace takes only when it is told to', async () => {
      const other = ['install', 'other', CHART, '-n', 'team-b', '--no-hooks']
      await expect(helm(other)).rejects.toThrow(/invalid ownership metadata.*must equal "other"/)
      await helm([...other, '--take-ownership'])
      expect((await crd('agents.midflight.dev')).metadata).toMatchObject({
        annotations: { 'meta.helm.sh/release-name': 'other', 'meta.helm.sh/release-namespace': 'team-b' },
      })
    })

    test('a second release of the cluster leaves to the first', async () => {
      const own = 'namespaces={team-a},crds.enabled=false,peopleRoles.enabled=false'
      await helm(['install', 'second', CHART, ...RELEASE, '--set', own])
    })
  })
})

/** `image.tag` and the like; what stands for one thing is not taken apart. */
function pathsOf(values: object, prefix = ''): string[] {
  return Object.entries(values).flatMap(([name, value]: [string, unknown]) => {
    const path = prefix + name
    const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value) && !WHOLE.includes(path)
    return isGroup && Object.keys(value).length > 0 ? pathsOf(value, `${path}.`) : [path]
  })
}
const WHOLE = ['resources', 'defaultRuntime.spec']

const account = (namespace: string, name: string): Manifest => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { namespace, name },
})
