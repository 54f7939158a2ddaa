import { DEFAULT_PROBATION } from '../../api/index.ts'
import { type Linked, linkedTo, systemClock } from '../../clock.ts'
import type { Session } from '../../dev/index.ts'
// Not by way of the index: a runtime that an operator drives needs nothing that reads manifests, and starts faster.
import { formatProblem } from '../../dev/report.ts'
import { createLog, type Log, type LogLevel, type LogOptions, together } from '../../log.ts'
import { createMetrics, type Metrics } from '../../metrics.ts'
import { toolClashes } from '../../runtime/registry/index.ts'
import { createRuntime, type Runtime } from '../../runtime/runtime.ts'
import {
  type Auth,
  createApp,
  createHealthApp,
  createManagementApp,
  createScrapes,
  drained,
  type Readiness,
  type SecretSource,
  type ServedCertificate,
  type Serving,
  serve,
  type TlsFiles,
} from '../../runtime/server/index.ts'
import { createToolHost, type Isolation, type ToolHost } from '../../runtime/tools/index.ts'
import { version } from '../files.ts'
import { hasColor, type Io, plural } from '../io.ts'
import { logStrayErrors } from '../process-events.ts'
import { type Ending, tellInterrupted, tellWaiting } from './ending.ts'
import { type ManagedOptions, startManaged } from './managed.ts'

/** A runtime in this process and the session that keeps it loaded. */
export type Loaded = { readonly runtime: Runtime; readonly session: Session; readonly metrics: Metrics }

export type ManagedSources = ManagedOptions & {
  readonly podUid?: string | undefined
  /** Where tool code runs unless the settings say. Default: with a boot set in processes of its own. */
  readonly isolation?: Isolation | undefined
  /** Where lines of tool and extension files go: nowhere, when absent. */
  readonly log?: Log
  /** Where each reload is told: nowhere, when absent. */
  readonly reloadLog?: Log | undefined
}

/**
 * A runtime with its mounted directories, and everything else left to an operator. Where it has a boot set, its pod may
 * have mounts of bundles that are declared no more: then only those serve that the settings name.
 */
export async function loadManaged(
  { podUid, log, reloadLog, isolation, ...sources }: ManagedSources,
  signal: AbortSignal,
): Promise<Loaded> {
  const { hotReload = true } = sources
  const metrics = createMetrics()
  const mounts = sources.bundles.map(({ name }) => name)
  const mountsTaken = sources.bootSet === undefined ? 'all' : 'named'
  const isPod = sources.bootSet !== undefined
  const host = toolHost(isolation ?? (isPod ? 'process' : 'none'), metrics, signal)
  const told = { hotReload, bundleOwner: 'operator', ...(log && { log }), ...(reloadLog && { reloadLog }) } as const
  const probation = isPod ? DEFAULT_PROBATION : undefined
  const runtime = createRuntime({ host, metrics, ...told, mounts, mountsTaken, podUid, probation }, signal)
  return { runtime, session: await startManaged(runtime.registry, sources, signal), metrics }
}

/** Where tool code runs; what it prints is this process's output. */
export const toolHost = (isolation: Isolation, metrics: Metrics, signal: AbortSignal): ToolHost =>
  createToolHost({ isolation, output: 'inherit', onRestart: (cause) => metrics.toolHostRestarted(cause) }, signal)

/** Where the lines of tool and extension files go, and what befell their extensions. */
export const toolLog = (io: Io): Log => logTo(io, 'info')

/** Where each reload is told. */
export const reloadLines = (io: Io): Log => logTo(io, 'info', together(io.stderr))

const serverLog = (io: Io): Log => logTo(io, 'warn')

const logTo = (io: Io, level: LogLevel, destination: LogOptions['destination'] = io.stderr): Log =>
  createLog({ level, format: io.stderr.isTTY === true ? 'pretty' : 'json', destination })

export type ManagementOptions = {
  readonly host: string
  readonly port: number
  readonly tokens: SecretSource
  readonly tls: TlsFiles | undefined
  readonly io: Io
  readonly signal: AbortSignal
}

/** Serves the management protocol. Ends with the signal. */
export function serveManagement({ runtime }: Loaded, options: ManagementOptions): Promise<Serving> {
  const { host, port, tokens, tls, io, signal } = options
  let served: ServedCertificate | undefined
  const onCertificate = (next: ServedCertificate) => {
    served = next
  }
  const certificate = () => served
  const app = createManagementApp({ management: runtime.registry, tokens, certificate, log: serverLog(io), signal })
  return serve({ app, host, port, signal, portFlag: '--management-port', tls, onCertificate })
}

export type ServeOptions = {
  readonly auth: Auth
  readonly io: Io
  /** Ends everything that serves; aborted when the process was asked to stop, has drained, and that was seen. */
  readonly stop: Pick<Linked, 'signal' | 'abort'>
  readonly ending: Ending
  /** Whether AgentOS's calls under /runtime are on: always, or as the settings declare. */
  readonly dynamicApi: 'on' | 'declared'
}

/** What a cancelled run has to say goodbye to its client, in milliseconds. */
const GOODBYE_MS = 1_000

/** How long a client may take to use a connection that it keeps once more, when the process was asked to stop. */
const GRACE_MS = 500

export type Addresses = { readonly host: string; readonly port: number; readonly metricsPort: number }

/**
 * Serves the API, and metrics and health beside it. When the process is asked to stop, it is not ready from then on, and
 * the API goes on serving until no client is left or the drain is over; then everything else ends, when runs were
 * interrupted as soon as their count was scraped.
 */
export async function serveBoth(
  loaded: Loaded,
  { host, port, metricsPort }: Addresses,
  { auth, io, stop, ending, dynamicApi }: ServeOptions,
): Promise<{ api: Serving; health: Serving }> {
  const { runtime, metrics } = loaded
  const { registry, runs } = runtime
  const { signal } = stop
  const log = serverLog(io)
  logStrayErrors(log, signal)
  const app = createApp({
    snapshots: registry,
    runs,
    dynamic: registry,
    dynamicApi,
    auth,
    info: { name: 'Midflight', version: version(), osId: 'midflight' },
    log,
    surroundings: runtime.surroundings,
    reloads: { hotReload: runtime.hotReload, bundles: registry, signal: io.signal },
    onCalled: (answered, file, problem) => void registry.called(answered, file, problem),
    onToolCall: ({ bundle, name }, result) => metrics.toolCalled(`${bundle}/${name}`, result),
  })
  const asked = io.signal
  const drain = linkedTo(signal)
  const leave = { signal: asked, graceMs: Math.min(GRACE_MS, ending.drainMs) }
  const api = await serve({ app, host, port, signal: drain.signal, portFlag: '--port', drainMs: GOODBYE_MS, leave })
  asked.addEventListener('abort', () => tellWaiting(runs.inFlight(), ending, io), { once: true })
  const scrapes = createScrapes(systemClock)
  const told = drained({ signal: asked, drainMs: ending.drainMs, runs, quiet: api.quiet }).then((outcome) => {
    drain.abort(new Error('the drain is over'))
    return tellInterrupted(outcome, ending, { io, metrics, scrapes, signal })
  })
  void Promise.all([told, api.closed]).then(() => stop.abort(new Error('the runtime has drained')))
  const text = { contentType: metrics.contentType, text: runtime.metricsText }
  const ready = () => readinessOf(loaded, asked)
  const healthApp = createHealthApp({ metrics: text, ready, settled: registry.whole, scrapes })
  const health = await serve({ app: healthApp, host, port: metricsPort, signal, portFlag: '--metrics-port' })
  return { api, health }
}

function readinessOf({ runtime, session }: Loaded, asked: AbortSignal): Readiness {
  if (asked.aborted) return { ok: false, reasons: ['the runtime is stopping'] }
  const { complete } = runtime.registry
  const problems = session.problems().map(({ what, reason }) => `${what}: ${reason}`)
  return { ok: complete, reasons: complete ? problems : [NOT_COMPLETE, ...problems] }
}

const NOT_COMPLETE =
  'not everything that was declared is here yet: a whole sync by the operator, or a boot set, brings it'

/** What is served, and what is not and why. */
export function printLoaded({ runtime, session }: Loaded, io: Io): void {
  const { agents, teams, workflows, models, tools, extensions, bundles } = runtime.registry.current
  const prompts = [...bundles.values()].flatMap((bundle) => [...bundle.prompts.keys()])
  const rows: readonly (readonly [string, Iterable<string>])[] = [
    ['agent', agents.keys()],
    ['team', teams.keys()],
    ['workflow', workflows.keys()],
    ['model', models.keys()],
    ['tool', [...tools.keys()].filter((name) => name.includes('/'))],
    [
      'extension',
      [...extensions.values()].flat().map(({ bundle, description }) => `${bundle.name}/${description.name}`),
    ],
    ['prompt', prompts],
  ]
  for (const [word, names] of rows) {
    const list = [...names].sort()
    if (list.length > 0) io.stdout.write(`  ${`${plural(list.length, word)} `.padEnd(13)}${shortList(list)}\n`)
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
