import type { Problem, SpecOf } from '../../api/index.ts'

/** What a runtime takes of memory besides tools, in MiB: measured, 124 MB idle and 235 MB at its busiest. */
const RUNTIME_MIB = 192
/** The host of one bundle, and the one that is kept warm. */
const HOSTS = 2
const MIB = 1_048_576

const UNITS: Readonly<Record<string, number>> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/** An amount as Kubernetes writes it, such as `512Mi`; undefined for what the API server will refuse. */
export function amountOf(quantity: string | number): number | undefined {
  const [, number, unit = ''] = /^\+?(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)([a-zA-Z]*)$/.exec(String(quantity)) ?? []
  const scale = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined
  return number === undefined || scale === undefined ? undefined : Number(number) * scale
}

/** A limit on the memory of pods that cannot hold the processes in which their tools run. */
export function checkMemory(spec: SpecOf<'AgentRuntime'>): Problem | undefined {
  const { adopt, bundles, bundleSelector, resources, tools } = spec
  const hasTools = bundles.length > 0 || bundleSelector?.allowTools === true
  const limit = resources?.limits?.memory
  if (adopt !== undefined || tools.isolation === 'none' || !hasTools || limit === undefined) return undefined
  const needed = RUNTIME_MIB + HOSTS * tools.memoryMiB
  const bytes = amountOf(limit)
  if (bytes === undefined || bytes >= needed * MIB) return undefined
  const path = 'spec.resources.limits.memory'
  const message = `${path}: ${limit} cannot hold the runtime (${RUNTIME_MIB}Mi) and ${HOSTS} processes of tools (spec.tools.memoryMiB: ${tools.memoryMiB}): raise it to ${needed}Mi, lower tools.memoryMiB, or set tools.isolation to none`
  return { reason: 'InvalidSpec', message, path }
}
