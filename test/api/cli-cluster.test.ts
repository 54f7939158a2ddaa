import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { type Cli, runHere, startCli } from '../../src/cli/cli.fixture.ts'
import { describeCluster, until, useCluster } from './harness/index.ts'
import { startTestOperator, type TestOperator } from './support/operator/operator.ts'
import { resource, SCRIPTED, toolFile } from './support/resource.ts'
import { TOKEN } from './support/runtimes/in-process.ts'
import { openScene, type Scene } from './support/scene/scene.ts'

const FILES = { 'weather.tool.ts': toolFile('sunny'), 'support.prompt.md': 'one' }
const SPEC = { bundles: [{ name: 'support', configMap: 'files' }], models: [SCRIPTED] }
const AGENT = { prompt: { file: 'support.md' }, tools: ['weather'] }

describeCluster('the command line against a cluster', () => {
  const cluster = useCluster()
  const running: Cli[] = []
  let scene: Scene
  let operator: TestOperator
  let written = ''

  const run = async (...args: string[]) => {
    const ended = await runHere(args, { KUBECONFIG: cluster().kubeconfig() })
    written += ended.stdout + ended.stderr
    return ended
  }
  const watch = async (...args: string[]) => {
    const cli = startCli(args, { KUBECONFIG: cluster().kubeconfig() })
    running.push(cli)
    await cli.sees(/KIND +NAME|"runtimes"/)
    return cli
  }

  beforeAll(async () => {
    await cluster().installCrds()
    scene = await openScene(cluster(), { namespace: 'team', count: 2, adopt: { spec: SPEC } })
    await scene.files('files', FILES)
    operator = await startTestOperator(cluster(), { namespaces: ['team'] })
    await scene.declare('Agent', 'support', AGENT)
    await scene.declare('Agent', 'writer', { instructions: 'one' })
    await scene.shows('Agent', 'support')
  })
  afterEach(async () => {
    for (const cli of running.splice(0)) {
      cli.child.kill('SIGKILL')
      await cli.exit
      written += cli.stdout() + cli.stderr()
    }
  })
  afterAll(async () => {
    await operator?.stop()
    await scene?.close()
  })

  test('status tells pods, files and agents, and ends with 0 when all is Ready', async () => {
    const { code, stdout } = await run('status', '-n', 'team', '--wait')
    expect(stdout).toMatch(/^AgentRuntime default {3}Ready {3}pods 2\/2 {3}settings [0-9a-f]{8}$/m)
    expect(stdout).toMatch(/^ {2}runtime-1 +yes +yes +Reachable$/m)
    expect(stdout).toMatch(/^ {2}support +files +([0-9a-f]{8}) +\1 +Live$/m)
    expect(stdout).toMatch(/^Agent +support +default +([0-9a-f]{8}) +\1 +2\/2 +Ready$/m)
    expect(code).toBe(0)
  })

  test('status of what is not Ready ends with 1, and of what is beside it with 0', async () => {
    await scene.declare('Agent', 'broken', { instructions: 'one', tools: ['nowhere'] })
    await scene.shows('Agent', 'broken', 'Ready=False/ToolNotFound')
    const all = await run('status', '-n', 'team')
    expect(all.stdout).toMatch(/^Agent +broken .* Waiting +ToolNotFound: .*nowhere/m)
    expect(all.code).toBe(1)
    expect((await run('status', '-n', 'team', 'agent/writer', 'runtime/default')).code).toBe(0)
    await scene.remove('Agent', 'broken')
  })

  test('status --wait ends as soon as an edit is served, and says what it waited for when it is not', async () => {
    const waiting = run('status', '-n', 'team', 'agent/late', '--wait', '--timeout', '20s')
    await scene.declare('Agent', 'late', { instructions: 'one' })
    expect(await waiting).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Agent +late .* Ready$/m) })
    const missing = await run('status', '-n', 'team', 'agent/never', '--wait', '--timeout', '200ms')
    expect(missing.stderr).toBe('error: not Ready after 200 ms: agent/never (not there)\n')
    expect(missing.code).toBe(1)
  })

  test('status --watch shows an edit, and how long after it was served', async () => {
    const cli = await watch('status', '-n', 'team', '--watch')
    await scene.declare('Agent', 'writer', { instructions: 'two' })
    await cli.sees(/^\d\d:\d\d:\d\d\.\d{3} {2}agent\/writer +changed +generation 1 → 2$/m)
    await cli.sees(/agent\/writer +served +\d+ ms after the change: revision [0-9a-f]{8} → [0-9a-f]{8}, pods \d\/2$/m)
    cli.child.kill('SIGINT')
    expect(await cli.exit).toBe(0)
  })

  test('status --watch shows a ConfigMap edit going live, a bad one refused, and which files serve meanwhile', async () => {
    const cli = await watch('status', '-n', 'team', '--watch')
    await scene.files('files', { ...FILES, 'support.prompt.md': 'two' })
    const [, from, to] = await cli.sees(/bundle\/default\/support +served +.* after the change: hash (\S+) → (\S+)$/m)
    expect(cli.stdout()).toContain(`changed   ConfigMap files ${from} → ${to}`)
    await scene.files('files', { ...FILES, 'weather.tool.ts': 'export default {{' })
    await cli.sees(new RegExp(`support +refused +.* last good ${to} serves: InvalidSyntax: weather.tool.ts:1:17`))
    await cli.sees(/agent\/support +refused/)
    await scene.files('files', FILES)
    await cli.sees(new RegExp(`bundle/default/support +served +.*hash ${to} → ${from}$`, 'm'))
    await scene.shows('Agent', 'support')
  })

  test('code that goes wrong in a pod is an Event of its AgentRuntime, which status shows', async () => {
    const cli = await watch('status', '-n', 'team', '--watch')
    const bad = `export default { execute() { throw new Error('oh') } }`
    await scene.files('files', { ...FILES, '_10_bad.run_end.extension.ts': bad })
    await cli.sees(/bundle\/default\/support +served/)
    await scene.answers('agents/writer')
    const why = /pod runtime-\d, bundle support, _10_bad.run_end.extension.ts:1:\d+, run of writer: .* failed: oh/
    await until('an Event', async () =>
      (await scene.events('ExtensionFailed', 'default')).some((note) => why.test(note)),
    )
    await cli.sees(new RegExp(`agentruntime/default +incident +ExtensionFailed: ${why.source}$`, 'm'))
    expect((await run('get', 'extensions', '-n', 'team')).stdout).toMatch(
      /^_10_bad +default +run_end +support +_10_bad.run_end.extension.ts +Live$/m,
    )
    const { code, stdout } = await run('status', '-n', 'team')
    expect(stdout).toMatch(new RegExp(`^ {2}ExtensionFailed +1 +\\d\\d:\\d\\d:\\d\\d +${why.source}$`, 'm'))
    expect(code).toBe(0)
    await scene.files('files', FILES)
    await cli.sees(/served(.*\n)+.*bundle\/default\/support +served/)
  })

  test('status --watch -o json is one JSON document a line', async () => {
    const cli = await watch('status', '-n', 'team', '-w', '-o', 'json', 'agent/writer')
    await scene.declare('Agent', 'writer', { instructions: 'three' })
    await cli.sees(/"type":"served"/)
    const lines = cli
      .stdout()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines[0]).toMatchObject({ items: [{ name: 'writer', standing: { state: 'Ready' } }] })
    expect(lines.at(-1)).toMatchObject({
      subject: 'agent/writer',
      namespace: 'team',
      type: 'served',
      tookMs: expect.any(Number),
    })
  })

  test('status tells a ConfigMap that no operator has looked at, and does not call its agents Ready', async () => {
    await operator.stop()
    await scene.files('files', { ...FILES, 'support.prompt.md': 'unseen' })
    const { code, stdout } = await run('status', '-n', 'team')
    expect(stdout).toMatch(/^ {2}support +files .* Unseen +the ConfigMap holds [0-9a-f]{8} now/m)
    expect(stdout).toMatch(/^Agent +support .* Pending +ConfigMap files has changed/m)
    expect(code).toBe(1)
    await scene.files('files', FILES)
    operator = await startTestOperator(cluster(), { namespaces: ['team'] })
    expect((await run('status', '-n', 'team', '--wait')).code).toBe(0)
  })

  test('get lists what is declared, by whom it is used, and what each pod has', async () => {
    expect((await run('get', 'agents', '-n', 'team')).stdout).toMatch(
      /^support +default +default +\S{8} +\S{8} +\d\/2 +Ready/m,
    )
    expect((await run('get', 'pods', '-n', 'team')).stdout).toMatch(
      /^runtime-0 +default +yes +yes +Reachable +Running +0/m,
    )
    expect((await run('get', 'bundles', '-n', 'team')).stdout).toMatch(
      /^support +default +files +\S{8} +\S{8} +Live +1 +1$/m,
    )
    expect((await run('get', 'tools', '-n', 'team')).stdout).toMatch(
      /^weather +default +support +weather.tool.ts +Live +support$/m,
    )
    expect((await run('get', 'models', '-n', 'team')).stdout).toMatch(/^default +default +scripted +agent\/late,/m)
    expect((await run('get', 'agent', '-A', '-o', 'name')).stdout).toContain('agent/support\n')
    expect(JSON.parse((await run('get', 'agent/support', '-n', 'team', '-o', 'json')).stdout)).toMatchObject({
      kind: 'Agent',
      spec: AGENT,
    })
    expect(await run('get', 'agent', 'nope', '-n', 'team')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no agent/nope'),
    })
  })

  test('a user without rights is told what to ask for', async () => {
    const kubeconfig = await cluster().addUser('nobody')
    const { code, stderr } = await run('status', '-n', 'team', '--kubeconfig', kubeconfig)
    expect(stderr).toMatch(/is forbidden.*ask for the ClusterRole midflight-editor/)
    expect(code).toBe(1)
    const examined = await run('doctor', '-n', 'team', '--kubeconfig', kubeconfig)
    expect(examined.stdout).toMatch(/^skip {2}CRD agents: .*forbidden/m)
    expect(examined.stdout).toMatch(
      /^warn {2}your rights: not enough for midflight status: list agentruntimes.midflight.dev/m,
    )
  })

  test('chat says that a pod is not there to talk to, and of what is not declared what is', async () => {
    for (const name of ['runtime-0', 'runtime-1']) await cluster().setPodReady('team', name, false)
    const { code, stderr } = await run('chat', 'support', '-n', 'team', '--message', 'hello')
    expect(stderr).toBe(
      'error: no pod of AgentRuntime default is Ready: runtime-0 is not Ready, runtime-1 is not Ready (labels app=runtime)\n',
    )
    expect(code).toBe(1)
    for (const name of ['runtime-0', 'runtime-1']) await cluster().setPodReady('team', name, true)
    const unreached = await run('chat', 'support', '-n', 'team', '--message', 'hello')
    expect(unreached.stderr).toBe(
      'error: AgentRuntime default in namespace team cannot be reached: pod runtime-0: the API server cannot reach its kubelet\n',
    )
    const nobody = await run('chat', 'suport', '-n', 'team', '--message', 'hello')
    expect(nobody.stderr).toContain('nothing named "suport" is in namespace team: there are late, support, writer')
  })

  test('chat with a key that may not be read names --auth-key-file', async () => {
    await cluster().makeNamespace('managed')
    await cluster().apply(resource('AgentRuntime', 'managed', 'default', { models: [SCRIPTED] }))
    await cluster().apply(resource('Agent', 'managed', 'one', { instructions: 'one' }))
    await makeManagedPod('default-runtime-abc-1')
    const message = ['--message', 'hello']
    expect((await run('chat', 'one', '-n', 'managed', ...message)).stderr).toMatch(
      /Secret default-runtime-key has no "key".*--auth-key-file/,
    )
    const kubeconfig = await cluster().addUser('reader')
    await cluster().kubectl([
      'create',
      'role',
      'reader',
      '-n',
      'managed',
      '--verb=get,list',
      '--resource=pods,agents.midflight.dev,teams.midflight.dev,workflows.midflight.dev,agentruntimes.midflight.dev',
    ])
    await cluster().kubectl(['create', 'rolebinding', 'reader', '-n', 'managed', '--role=reader', '--user=reader'])
    const { stderr } = await run('chat', 'one', '-n', 'managed', '--kubeconfig', kubeconfig, ...message)
    expect(stderr).toBe(
      'error: you may not read Secret default-runtime-key, which has the key: give a file with the key by --auth-key-file\n',
    )
  })

  /** A pod as a Deployment's ReplicaSet makes it. */
  async function makeManagedPod(name: string): Promise<void> {
    const metadata = {
      name,
      labels: { 'midflight.dev/runtime': 'default', 'pod-template-hash': 'abc' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'default-runtime-abc', uid: 'none', controller: true },
      ],
    }
    const spec = { containers: [{ name: 'runtime', image: 'none' }] }
    await cluster().call('POST', '/api/v1/namespaces/managed/pods', { metadata, spec })
    await cluster().setPodReady('managed', name, true)
  }

  test('no output held a secret', async () => {
    await until('there is output', () => written.length > 1000)
    expect(written).not.toContain(TOKEN)
    expect(written).not.toContain(Buffer.from(TOKEN).toString('base64'))
  })
})
