import type { Context } from '../lib/bench.ts'
import { buildInto } from '../lib/build.ts'
import { median, spread } from '../lib/numbers.ts'
import type { Report, Table, Target } from '../lib/report.ts'
import { temporaryFolder } from '../lib/temporary.ts'
import { type Cycles, measureCycles, type Sample, WARM_UP } from './cycles.ts'
import { firstAnswer } from './first-answer.ts'
import { BUILT_RUNTIME, idleMb, idleProcesses } from './idle-memory.ts'

type Rounds = { readonly firstAnswerMs: number[]; readonly idleMb: Map<string, number[]> }

/** How soon it answers after `npm start`, what it holds when idle, and whether adding and removing agents leaks. */
export async function benchStart(context: Context): Promise<Report> {
  using home = temporaryFolder()
  const rounds: Rounds = { firstAnswerMs: [], idleMb: new Map() }
  const idle = idleProcesses(buildInto(home.path))
  for (let round = 0; round < context.rounds; round++) {
    rounds.firstAnswerMs.push(await firstAnswer(context))
    for (const each of idle) {
      rounds.idleMb.set(each.name, [...(rounds.idleMb.get(each.name) ?? []), await idleMb(context, each)])
    }
    context.say(`start: round ${round + 1} of ${context.rounds}`)
  }
  const cycles = await measureCycles(context)
  return {
    targets: [...startTargets(rounds), ...cycleTargets(cycles)],
    tables: [startTable(rounds), cycleTable(cycles)],
    data: { firstAnswerMs: rounds.firstAnswerMs, idleMb: Object.fromEntries(rounds.idleMb), cycles },
  }
}

function startTargets({ firstAnswerMs, idleMb: idle }: Rounds): Target[] {
  return [
    { what: '`npm start` → first answer, p50', unit: 's', value: median(firstAnswerMs) / 1000, atMost: 3 },
    {
      what: `${BUILT_RUNTIME}: idle, resident`,
      unit: 'MB',
      value: median(idle.get(BUILT_RUNTIME) ?? []),
      atMost: 150,
    },
  ]
}

function startTable({ firstAnswerMs, idleMb: idle }: Rounds): Table {
  const { p50, max } = spread(firstAnswerMs.map((ms) => ms / 1000))
  const memory = [...idle].map(([name, values]) => [`${name} idle, resident MB`, median(values), Math.max(...values)])
  return {
    title: 'Start and memory',
    columns: ['', 'median', 'max'],
    rows: [['`npm start` → first answer, s', p50, max], ...memory],
  }
}

/** The design's bound for what one reload may leave behind. */
const FLAT_BYTES = 512

function cycleTargets({ samples, heapBytesPerCycle }: Cycles): Target[] {
  const [first, last] = [samples[0], samples.at(-1)]
  if (first === undefined || last === undefined) return []
  const flat = (what: string, pick: (of: Sample) => number, slack = 0): Target => ({
    what: `cycles of add and remove: ${what}, last − first`,
    unit: '',
    value: pick(last) - pick(first),
    atMost: slack,
  })
  return [
    { what: 'cycles of add and remove: heap', unit: 'bytes/cycle', value: heapBytesPerCycle, atMost: FLAT_BYTES },
    // The bench's own connections come and go.
    flat('handles', ({ handles }) => handles, 2),
    flat('timers', ({ timers }) => timers, 2),
    flat('metric series', ({ series }) => series),
    flat('size of /config', ({ configBytes }) => configBytes),
  ]
}

function cycleTable({ samples, heapBytesPerCycle, residentBytesPerCycle, perSecond }: Cycles): Table {
  const picked = samples.filter((_, n) => n % 5 === 0)
  return {
    title: 'An agent added by a call, looked at and removed, again and again',
    columns: ['cycles', 'heap KiB', 'resident MB', 'handles', 'timers', 'metric series', '/config bytes'],
    rows: picked.map(({ cycles, heapKiB, residentMb, handles, timers, series, configBytes }) => [
      String(cycles),
      heapKiB,
      residentMb,
      ...[handles, timers, series, configBytes].map(String),
    ]),
    note:
      `After ${WARM_UP} cycles to warm up; garbage collected before each look. Heap ${heapBytesPerCycle.toFixed(0)} ` +
      `bytes a cycle, resident ${residentBytesPerCycle.toFixed(0)}; ${perSecond.toFixed(0)} cycles/s.`,
  }
}
