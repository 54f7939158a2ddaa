import { readFile } from 'node:fs/promises'
import { afterAll, expect, test } from '@jest/globals'
import { runHere } from '../../src/cli/cli.fixture.ts'
import { RIGHTS } from '../../src/operator/rights.ts'
import { createAuthority, describeCluster, until, useCluster } from './harness/index.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { resource, SCRIPTED, toolFile } from './support/resource.ts'
import { TOKEN } from './support/runtimes/in-process.ts'
import { openScene, type Scene } from './support/scene/scene.ts'

const SYSTEM = 'midflight-system'
const LABELS = { 'app.kubernetes.io/name': 'midflight', 'app.kubernetes.io/component': 'operator' }
const CANARY = 'canary-private-key'

describeCluster('midflight doctor', () => {
  const cluster = useCluster()
  let scene: Scene
  let operator: TestOperator
  let written = ''

  const doctor = async (...args: string[]) => {
    const ended = await runHere(['doctor', ...args], { KUBECONFIG: cluster().kubeconfig() })
    written += ended.stdout + ended.stderr
    return ended
  }
  afterAll(async () => {
    await operator?.stop()
    await scene?.close()
  })

  test('where nothing is installed says so, and the commands that install it, and ends with 1', async () => {
    const { code, stdout } = await doctor()
    expect(stdout).toMatch(
      /^FAIL {2}CRD agents: is not installed\n {6}→ midflight crds \| kubectl apply --server-side -f -$/m,
    )
    expect(stdout).toMatch(/^FAIL {2}operator: there is none in this cluster\n {6}→ helm install midflight /m)
    expect(stdout).toMatch(/^FAIL {2}lease: no operator has ever been at work/m)
    expect(code).toBe(1)
    const status = await runHere(['status'], { KUBECONFIG: cluster().kubeconfig() })
    expect(status.stderr).toContain(
      'are not installed in this cluster: install them with: midflight crds | kubectl apply',
    )
    expect(status.code).toBe(1)
  })

  test('where all is well ends with 0', async () => {
    await cluster().installCrds()
    scene = await openScene(cluster(), { namespace: 'team', count: 1 })
    operator = await startTestOperator(cluster(), { namespaces: ['team'], leaderElection: true })
    await scene.declare('Agent', 'support', { instructions: 'one' })
    await scene.shows('Agent', 'support')
    await scene.shows('AgentRuntime', 'default')
    const { code, stdout } = await doctor('-n', 'team')
    expect(stdout).toMatch(/^ok {4}CRD teams: installed, and as this version of midflight has it$/m)
    expect(stdout).toMatch(/^ok {4}lease default\/midflight-operator-\S+: test-\S+ is at work$/m)
    expect(stdout).toMatch(/^ok {4}your rights: enough for midflight chat$/m)
    expect(stdout).toMatch(/^ok {4}team\/agentruntime\/default: Ready, pods 1\/1$/m)
    expect(stdout).toMatch(/^ok {4}items: all 1 are Ready$/m)
    expect(stdout).toMatch(/^ok {4}references: all 1 ConfigMaps and Secrets that are named are there$/m)
    expect(code).toBe(0)
  })

  test('names the field in which an installed CustomResourceDefinition differs', async () => {
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/teams.midflight.dev'
    const added = [
      {
        op: 'add',
        path: '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/later',
        value: { type: 'string' },
      },
    ]
    await cluster().kubectl(['patch', 'crd', 'teams.midflight.dev', '--type=json', '-p', JSON.stringify(added)])
    const { stdout } = await doctor('-n', 'team')
    expect(stdout).toMatch(
      /^warn {2}CRD teams: differs .* at spec\.versions\[0\]\.schema\.openAPIV3Schema\.properties\.spec\.properties\.later$/m,
    )
    await cluster().call('DELETE', path)
    await cluster().installCrds()
  })

  test('tells what an operator’s ServiceAccount lacks, until it is granted', async () => {
    await cluster().makeNamespace(SYSTEM)
    await cluster().serviceAccountToken(SYSTEM, 'midflight-operator')
    const metadata = { name: 'midflight', namespace: SYSTEM, labels: LABELS }
    const template = {
      metadata: { labels: LABELS },
      spec: { serviceAccountName: 'midflight-operator', containers: [{ name: 'operator', image: 'none' }] },
    }
    const spec = { replicas: 2, selector: { matchLabels: LABELS }, template }
    await cluster().apply({ apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec })
    const before = await doctor('-n', 'team')
    expect(before.stdout).toMatch(
      /^FAIL {2}operator midflight-system\/midflight: 0 of 2 pods are Ready\n {6}→ kubectl describe pods -n midflight-system/m,
    )
    expect(before.stdout).toMatch(
      /^FAIL {2}operator rights: system:serviceaccount:midflight-system:midflight-operator may not in namespace team: .*list agents\.midflight\.dev/m,
    )
    expect(before.stdout).toMatch(
      /→ bind .* kubectl auth can-i \S+ \S+ -n \S+ --as=system:serviceaccount:midflight-system:midflight-operator$/m,
    )
    const group = 'rbac.authorization.k8s.io'
    const rules = RIGHTS.map(({ group: apiGroup, resources, verbs, names }) => ({
      apiGroups: [apiGroup],
      resources,
      verbs,
      ...(names && { resourceNames: names }),
    }))
    const name = 'midflight-operator'
    await cluster().apply({ apiVersion: `${group}/v1`, kind: 'ClusterRole', metadata: { name }, rules })
    await cluster().apply({
      apiVersion: `${group}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { apiGroup: group, kind: 'ClusterRole', name },
      subjects: [{ kind: 'ServiceAccount', namespace: SYSTEM, name }],
    })
    // The API server's authorizer learns of a binding a moment after it is written.
    await until('the rights are enough', async () =>
      /^ok {4}operator rights: .* may do everything it needs in namespace team$/m.test(
        (await doctor('-n', 'team')).stdout,
      ),
    )
  })

  test('tells what is named and missing, and how to make it', async () => {
    const model = {
      name: 'paid',
      provider: 'openai',
      model: 'x',
      apiKey: { secretKeyRef: { name: 'llm', key: 'openai' } },
    }
    const adopt = { selector: { matchLabels: { app: 'nothing' } }, tokenSecretRef: { name: 'gone', key: 'token' } }
    const tools = { secrets: [{ name: 'orders', secretKeyRef: { name: 'orders-api', key: 'token' } }] }
    const spec = { models: [SCRIPTED, model], adopt, tools, bundles: [{ name: 'files', configMap: 'nowhere' }] }
    await cluster().apply(resource('AgentRuntime', 'team', 'lacking', spec))
    const { code, stdout } = await doctor('-n', 'team')
    expect(stdout).toMatch(
      /^FAIL {2}configmap team\/nowhere: is missing: bundle files of AgentRuntime lacking names it\n {6}→ kubectl create configmap nowhere -n team --from-file=DIRECTORY$/m,
    )
    expect(stdout).toMatch(
      /^FAIL {2}secret team\/orders-api: is missing: tools\.secrets orders of AgentRuntime lacking names it$/m,
    )
    expect(stdout).toMatch(
      /^FAIL {2}secret team\/llm: is missing: model paid of AgentRuntime lacking names it\n {6}→ kubectl create secret generic llm -n team --from-literal=openai=VALUE$/m,
    )
    expect(stdout).toMatch(/^FAIL {2}secret team\/gone: is missing: adopt\.tokenSecretRef/m)
    expect(code).toBe(1)
    await scene.remove('AgentRuntime', 'lacking')
  })

  test('tells a broken file as the AgentRuntime and the Events of the last hour do', async () => {
    await scene.files('files', { 'weather.tool.ts': 'export default {{' })
    await cluster().kubectl([
      'patch',
      'agentruntime',
      'default',
      '-n',
      'team',
      '--type=merge',
      '-p',
      JSON.stringify({ spec: { bundles: [{ name: 'support', configMap: 'files' }] } }),
    ])
    await scene.shows('AgentRuntime', 'default', 'Ready=False/InvalidSyntax')
    await until('there is an Event', async () => (await scene.events('InvalidSyntax')).length > 0)
    const { stdout } = await doctor('-n', 'team')
    expect(stdout).toMatch(/^FAIL {2}team\/agentruntime\/default: InvalidSyntax: .*weather\.tool\.ts:1:17/m)
    expect(stdout).toMatch(/^warn {2}event team\/agentruntime\/default: InvalidSyntax \d+s ago/m)
    await scene.files('files', { 'weather.tool.ts': toolFile('sunny') })
  })

  test('warns of a pod that mounts a bundle’s ConfigMap by subPath', async () => {
    const spec = {
      containers: [
        { name: 'main', image: 'none', volumeMounts: [{ name: 'files', mountPath: '/x', subPath: 'weather.tool.ts' }] },
      ],
      volumes: [{ name: 'files', configMap: { name: 'files' } }],
    }
    const metadata = { name: 'frozen', labels: { app: 'runtime' } }
    await cluster().call('POST', '/api/v1/namespaces/team/pods', { metadata, spec })
    const { stdout } = await doctor('-n', 'team')
    expect(stdout).toMatch(/^warn {2}mounts team: pod frozen mounts ConfigMap files by subPath/m)
    await cluster().deletePod('team', 'frozen')
  })

  test('looks at the certificate in a management Secret, and at nothing else of it', async () => {
    const authority = await createAuthority(cluster().folder)
    await cluster().makeNamespace('certs')
    await cluster().apply(resource('AgentRuntime', 'certs', 'main', { models: [SCRIPTED] }))
    const secret = async (names: readonly string[]) => {
      const { certFile } = await authority.server(`leaf-${names.length}`, names)
      const stringData = { 'tls.crt': await readFile(certFile, 'utf8'), 'tls.key': CANARY, token: CANARY }
      const metadata = { namespace: 'certs', name: 'main-runtime-management' }
      await cluster().apply({ apiVersion: 'v1', kind: 'Secret', metadata, stringData })
      return (await doctor('-n', 'certs')).stdout
    }
    expect((await doctor('-n', 'certs')).stdout).toMatch(
      /^FAIL {2}certificate certs\/main-runtime-management: the Secret has no tls\.crt/m,
    )
    expect(await secret([])).toMatch(
      /^FAIL {2}certificate certs\/main-runtime-management: is not for main\.certs\.runtime\.midflight/m,
    )
    expect(await secret(['main.certs.runtime.midflight'])).toMatch(
      /^ok {4}certificate certs\/main-runtime-management: valid for 29d$/m,
    )
  })

  test('-o json tells the same to programs', async () => {
    const { code, stdout } = await doctor('-n', 'certs', '-o', 'json')
    const { failed, findings } = JSON.parse(stdout) as { failed: number; findings: { level: string; check: string }[] }
    expect(findings).toContainEqual(expect.objectContaining({ level: 'ok', check: 'CRD agents' }))
    expect(failed).toBe(findings.filter(({ level }) => level === 'FAIL').length)
    expect(code).toBe(failed === 0 ? 0 : 1)
  })

  test('says that an operator that stopped holds no Lease', async () => {
    await operator.stop()
    const { stdout } = await doctor('-n', 'team')
    expect(stdout).toMatch(/^FAIL {2}lease default\/midflight-operator-\S+: nobody holds it: no operator is at work$/m)
  })

  test('no output held a secret', () => {
    expect(written.length).toBeGreaterThan(1000)
    for (const secret of [TOKEN, CANARY]) {
      expect(written).not.toContain(secret)
      expect(written).not.toContain(Buffer.from(secret).toString('base64'))
    }
  })
})
