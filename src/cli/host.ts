import { type DirectoryBundle, formatProblem, formatReport, type Session, startSession } from '../dev/index.ts'
import { createLog, type Log } from '../log.ts'
import { createMetrics, type Metrics } from '../metrics.ts'
import { toolClashes } from '../runtime/registry/index.ts'
import type { Runs } from '../runtime/run/index.ts'
import { createRuntime, type Runtime } from '../runtime/runtime.ts'
import {
  type Auth,
  createApp,
  createHealthApp,
  createManagementApp,
  type Readiness,
  type Serving,
  serve,
  type TlsFiles,
  type TokenSource,
} from '../runtime/server/index.ts'
import { createInThreadHost } from '../runtime/tools/index.ts'
import { version } from './files.ts'
import { hasColor, type Io, plural } from './io.ts'
import { startManaged } from './managed.ts'
import { logStrayErrors } from './process-events.ts'

/** A runtime in this process and the session that keeps it loaded. */
export type Loaded = { readonly runtime: Runtime; readonly session: Session; readonly metrics: Metrics }

export type Sources = { readonly manifests: readonly string[]; readonly bundles: readonly DirectoryBundle[] }

/** Loads manifests and files into a runtime; every later change is a line on stdout. */
export async function load({ manifests, bundles }: Sources, io: Io, signal: AbortSignal): Promise<Loaded> {
  const metrics = createMetrics()
  const mounts = bundles.map(({ name }) => name)
  const runtime = createRuntime({ host: createInThreadHost(), metrics, mounts }, signal)
  const style = { color: hasColor(io.stdout, io.environment) }
  const session = await startSession(
    {
      manifests,
      bundles,
      environment: io.environment,
      runtime: runtime.registry,
      report: (report) => io.stdout.write(`${formatReport(report, style)}\n`),
    },
    signal,
  )
  return { runtime, session, metrics }
}

export type ManagedSources = { readonly bundles: readonly DirectoryBundle[]; readonly podUid?: string | undefined }

/** A runtime with its mounted directories, and everything else left to an operator. */
export async function loadManaged({ bundles, podUid }: ManagedSources, signal: AbortSignal): Promise<Loaded> {
  const metrics = createMetrics()
  const mounts = bundles.map(({ name }) => name)
  const runtime = createRuntime({ host: createInThreadHost(), metrics, mounts, podUid }, signal)
  return { runtime, session: await startManaged(runtime.registry, bundles, signal), metrics }
}

const serverLog = (io: Io): Log =>
  createLog({ level: 'warn', format: io.stderr.isTTY === true ? 'pretty' : 'json', destination: io.stderr })

export type ManagementOptions = {
  readonly host: string
  readonly port: number
  readonly token: TokenSource
  readonly tls: TlsFiles | undefined
  readonly io: Io
  readonly signal: AbortSignal
}

/** Serves the management protocol. Ends with the signal. */
export function serveManagement({ runtime }: Loaded, options: ManagementOptions): Promise<Serving> {
  const { host, port, token, tls, io, signal } = options
  const app = createManagementApp({ management: runtime.registry, token, log: serverLog(io), signal })
  return serve({ app, host, port, signal, portFlag: '--management-port', tls })
}

export type ServeOptions = {
  readonly auth: Auth
  readonly io: Io
  readonly signal: AbortSignal
  /** How long runs under way may go on after the signal, in milliseconds, before they are cancelled. */
  readonly drainMs: number
  /** Whether AgentOS's calls under /runtime are on. */
  readonly dynamicApi: boolean
}

/** What a cancelled run has to say goodbye to its client, in milliseconds. */
const GOODBYE_MS = 1_000

export type Addresses = { readonly host: string; readonly port: number; readonly metricsPort: number }

/** Serves the API, and metrics and health beside it. Both end with the signal. */
export async function serveBoth(
  { runtime, metrics, session }: Loaded,
  { host, port, metricsPort }: Addresses,
  { auth, io, signal, drainMs, dynamicApi }: ServeOptions,
): Promise<{ api: Serving; health: Serving }> {
  const { registry, runs } = runtime
  const log = serverLog(io)
  logStrayErrors(log, signal)
  const app = createApp({
    snapshots: registry,
    runs,
    dynamic: dynamicApi ? registry : undefined,
    auth,
    info: { name: 'Midflight', version: version(), osId: 'midflight' },
    log,
    onToolCall: ({ bundle, name }, result) => metrics.toolCalled(`${bundle}/${name}`, result),
  })
  const ready = (): Readiness => ({
    ok: registry.complete,
    reasons: session.problems().map(({ what, reason }) => `${what}: ${reason}`),
  })
  const text = { contentType: metrics.contentType, text: runtime.metricsText }
  const api = await serve({ app, host, port, signal, portFlag: '--port', drainMs: drainMs + GOODBYE_MS })
  signal.addEventListener('abort', () => endRuns(runs, io, drainMs), { once: true })
  const healthApp = createHealthApp({ metrics: text, ready })
  const health = await serve({ app: healthApp, host, port: metricsPort, signal, portFlag: '--metrics-port' })
  return { api, health }
}

/** Lets the runs under way end, for a while; then cancels them, so that every stream gets its last event. */
function endRuns(runs: Runs, io: Io, drainMs: number): void {
  const count = runs.inFlight()
  if (count === 0) return
  if (drainMs > 0)
    io.stderr.write(`waiting ${drainMs / 1000} s for ${plural(count, 'run')}; Ctrl-C again stops at once\n`)
  setTimeout(() => void runs.cancelAll({}, 'the runtime is stopping'), drainMs).unref()
}

/** What is served, and what is not and why. */
export function printLoaded({ runtime, session }: Loaded, io: Io): void {
  const { agents, teams, workflows, models, tools, bundles } = runtime.registry.current
  const prompts = [...bundles.values()].flatMap((bundle) => [...bundle.prompts.keys()])
  const rows: readonly (readonly [string, Iterable<string>])[] = [
    ['agent', agents.keys()],
    ['team', teams.keys()],
    ['workflow', workflows.keys()],
    ['model', models.keys()],
    ['tool', [...tools.keys()].filter((name) => name.includes('/'))],
    ['prompt', prompts],
  ]
  for (const [word, names] of rows) {
    const list = [...names].sort()
    if (list.length > 0) io.stdout.write(`  ${plural(list.length, word).padEnd(13)}${shortList(list)}\n`)
  }
  for (const [name, { warnings }] of bundles) {
    for (const warning of warnings) io.stdout.write(`  warning: bundle ${name}: ${warning}\n`)
  }
  for (const [name, [first, ...others]] of toolClashes(bundles)) {
    const rest = others.map((bundle) => `${bundle}/${name}`).join(', ')
    io.stdout.write(`  warning: tool ${name} is in several bundles: ${first} serves it; the others are ${rest}\n`)
  }
  printProblems(session, io)
}

const SHOWN = 12
const shortList = (names: readonly string[]): string =>
  names.length <= SHOWN ? names.join(', ') : `${names.slice(0, SHOWN).join(', ')} and ${names.length - SHOWN} more`

/** Every problem with its place and code. Returns how many there are. */
export function printProblems(session: Session, io: Io): number {
  const problems = session.problems()
  const style = { color: hasColor(io.stdout, io.environment) }
  if (problems.length > 0) io.stdout.write(`${plural(problems.length, 'problem')}:\n`)
  for (const problem of problems) io.stdout.write(`${formatProblem(problem, style)}\n`)
  return problems.length
}
