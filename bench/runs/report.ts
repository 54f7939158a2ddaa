import { median, percentile } from '../lib/numbers.ts'
import type { Report, Target } from '../lib/report.ts'
import type { Finding } from './measure.ts'

/** A contender over all rounds: the median of the rounds' figures. */
export type Summary = {
  readonly name: string
  readonly p50: number
  readonly p95: number
  readonly addedP50: number
  readonly addedP95: number
  readonly runsPerSecond: number
  readonly cpuMsPerRun: number
  readonly clientShare: number
  readonly residentMb: number
}

export function runsReport(findings: readonly Finding[], { pinned }: { readonly pinned: boolean }): Report {
  const names = [...new Set(findings.map(({ name }) => name))]
  const summaries = names.map((name) => summaryOf(findings.filter((finding) => finding.name === name)))
  const where = pinned
    ? 'The server alone on one core, client and model on another.'
    : 'Processes were not pinned to cores here, so "one core" does not hold.'
  return {
    targets: targetsOf(summaries),
    tables: [
      {
        title: 'A streamed run of two model turns and a tool call',
        columns: [
          '',
          'runs/s, 64 in flight',
          'CPU ms/run',
          'p50 ms',
          'p95 ms',
          'added p50 ms',
          'added p95 ms',
          'RSS MB',
        ],
        rows: summaries.map((of) => [
          of.name,
          of.runsPerSecond,
          of.cpuMsPerRun,
          of.p50,
          of.p95,
          of.addedP50,
          of.addedP95,
          of.residentMb,
        ]),
        note: `${where} ${busyClients(summaries)} The model alone took ${modelP50(findings)} ms (p50).`,
      },
    ],
    data: { pinned, summaries, rounds: findings.map(withoutDurations) },
  }
}

function summaryOf(findings: readonly Finding[]): Summary {
  const over = (pick: (finding: Finding) => number): number => median(findings.map(pick))
  const added = (p: number) => (finding: Finding) => percentile(finding.serialMs, p) - percentile(finding.modelMs, p)
  return {
    name: findings[0]?.name ?? '',
    p50: over(({ serialMs }) => percentile(serialMs, 0.5)),
    p95: over(({ serialMs }) => percentile(serialMs, 0.95)),
    addedP50: over(added(0.5)),
    addedP95: over(added(0.95)),
    runsPerSecond: over(({ load }) => load.perSecond),
    cpuMsPerRun: over(({ cpuMsPerRun }) => cpuMsPerRun),
    clientShare: over(({ clientShare }) => clientShare),
    residentMb: over(({ residentMb }) => residentMb),
  }
}

function targetsOf([midflight, ...peers]: readonly Summary[]): Target[] {
  if (midflight === undefined) return []
  const { addedP50, runsPerSecond } = midflight
  return [
    { what: 'added latency of a run, p50', unit: 'ms', value: addedP50, atMost: 2 },
    { what: 'runs/s on one core, 64 in flight', unit: '', value: runsPerSecond, atLeast: 800 },
    ...peers.map((peer) => ({
      what: `runs/s against ${peer.name}`,
      unit: 'x',
      value: runsPerSecond / peer.runsPerSecond,
      atLeast: 10,
    })),
  ]
}

function busyClients(summaries: readonly Summary[]): string {
  const shares = summaries.map(({ name, clientShare }) => `${name} ${Math.round(clientShare * 100)} %`)
  return `The client's core was busy: ${shares.join(', ')}; where that is near 100 %, runs/s is a floor.`
}

const modelP50 = (findings: readonly Finding[]): string =>
  median(findings.map(({ modelMs }) => percentile(modelMs, 0.5))).toFixed(2)

const withoutDurations = ({ serialMs, modelMs, ...rest }: Finding) => ({
  ...rest,
  p50: percentile(serialMs, 0.5),
  p95: percentile(serialMs, 0.95),
  modelP50: percentile(modelMs, 0.5),
  modelP95: percentile(modelMs, 0.95),
})
