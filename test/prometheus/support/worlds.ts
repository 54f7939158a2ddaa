// Series for `promtool test rules`: a world in which nothing is wrong, and for each alert what makes it fire.

/** By series, values in promtool's notation, a minute apart: `0+10x5` is 0 10 20 30 40 50. */
export type World = Readonly<Record<string, string>>

const OPERATOR = 'job="midflight-operator-metrics",instance="op:8080",namespace="midflight-system",pod="op-0"'
const STANDBY = 'job="midflight-operator-metrics",instance="op:8081",namespace="midflight-system",pod="op-1"'
const RUNTIME = 'job="team/midflight-runtimes",instance="rt:9464",namespace="team",pod="rt-0"'
const FOREIGN = 'job="other",instance="other:1",namespace="other",pod="other-0"'

const LEADER = `leader_election_master_status{name="midflight-operator-1",${OPERATOR}}`
const UP = `up{${RUNTIME}}`
const BEHIND = `midflight_pods_behind{kind="agents",${OPERATOR}}`
const STALLED = `midflight_objects_stalled{kind="Agent",${OPERATOR}}`
const REJECTED = `midflight_registry_items{kind="bundles",state="rejected",${RUNTIME}}`
const propagation = (le: string) => `midflight_propagation_seconds_bucket{kind="agents",le="${le}",${OPERATOR}}`
const HOSTS = `midflight_tool_host_restarts_total{cause="memory",${RUNTIME}}`
const BOOT_SETS = `midflight_boot_sets_unwritten{${OPERATOR}}`
const runs = (status: string) => `midflight_runs_total{kind="agents",name="support",status="${status}",${RUNTIME}}`
const INTERRUPTED = `midflight_sessions_interrupted_total{${RUNTIME}}`
const tools = (result: string) => `midflight_tool_calls_total{tool="files/look",result="${result}",${RUNTIME}}`
const podCalls = (result: string) => `midflight_pod_calls_total{call="activate",result="${result}",${OPERATOR}}`
const requests = (code: string, of = OPERATOR) =>
  `rest_client_requests_total{code="${code}",method="GET",host="api",${of}}`
const HEARD = `midflight_last_event_timestamp_seconds{kind="Agent",${OPERATOR}}`
const longest = (of = OPERATOR) =>
  `workqueue_longest_running_processor_seconds{controller="objects",name="objects",${of}}`
const panics = (of = OPERATOR) => `controller_runtime_reconcile_panics_total{controller="objects",${of}}`
const REPAIRS = `midflight_drift_repairs_total{${OPERATOR}}`
const lag = (of = RUNTIME) => `nodejs_eventloop_lag_p99_seconds{${of}}`

/** Three hours in which all is well, and somebody else's processes are not. */
export const HEALTHY: World = {
  [LEADER]: '1+0x180',
  [`leader_election_master_status{name="midflight-operator-1",${STANDBY}}`]: '0+0x180',
  [`leader_election_master_status{name="somebody-else",${FOREIGN}}`]: '0+0x180',
  [UP]: '1+0x180',
  [`up{${OPERATOR}}`]: '1+0x180',
  [`up{${FOREIGN}}`]: '0+0x180',
  [`midflight_snapshots_total{${RUNTIME}}`]: '1+1x180',
  [BEHIND]: '0+0x180',
  [STALLED]: '0+0x180',
  [REJECTED]: '0+0x180',
  [`midflight_registry_items{kind="agents",state="active",${RUNTIME}}`]: '7+0x180',
  [`midflight_registry_items{kind="agents",state="pending",${RUNTIME}}`]: '1+0x180',
  [propagation('0.25')]: '0+100x180',
  [propagation('0.5')]: '0+100x180',
  [propagation('1')]: '0+100x180',
  [propagation('+Inf')]: '0+100x180',
  [HOSTS]: '0+0x90 3+0x90',
  [BOOT_SETS]: '0+0x180',
  [runs('completed')]: '0+100x180',
  [runs('failed')]: '0+4x180',
  [INTERRUPTED]: '0+0x180',
  [tools('ok')]: '0+100x180',
  [tools('error')]: '0+9x180',
  [podCalls('ok')]: '0+600x180',
  [podCalls('timeout')]: '0+5x180',
  [requests('200')]: '0+600x180',
  [requests('409')]: '0+60x180',
  [requests('503')]: '0+5x180',
  [requests('500', FOREIGN)]: '0+600x180',
  [HEARD]: '0+60x180',
  [`midflight_last_event_timestamp_seconds{kind="Secret",${OPERATOR}}`]: '0+0x180',
  [longest()]: '100+0x180',
  [longest(FOREIGN)]: '500+0x180',
  [panics()]: '0+0x180',
  [panics(FOREIGN)]: '0+1x180',
  [REPAIRS]: '0+0x90 9+0x90',
  [lag()]: '0.4+0x180',
  [lag(FOREIGN)]: '3+0x180',
}

export type Fault = {
  /** In place of what is healthy; a series that is empty is not there. */
  readonly world: World
  /** Minutes: it has begun by then, and may still end by itself. */
  readonly quietAt: number
  /** Minutes. */
  readonly firesAt: number
  readonly labels: Readonly<Record<string, string>>
  readonly summary: string
  readonly description: string
}

const TEAM = { namespace: 'team' }
const ALL_ZERO = '0+0x60 '

/** What makes each alert fire. Faults begin after an hour; counts of what happened are seen from the first scrape after it. */
export const FAULTS: Readonly<Record<string, readonly Fault[]>> = {
  MidflightNobodyLeads: [
    {
      world: { [LEADER]: '1+0x60 0+0x120' },
      ...{ quietAt: 62, firesAt: 64, labels: { name: 'midflight-operator-1' } },
      summary: 'No Midflight operator is at work',
      description: 'Agents answer, and nothing that is declared changes them (Lease midflight-operator-1).',
    },
    {
      world: {
        [LEADER]: '1+0x60 stale',
        [`leader_election_master_status{name="midflight-operator-1",${STANDBY}}`]: '0+0x60 stale',
      },
      ...{ quietAt: 62, firesAt: 64, labels: {} },
      summary: 'No Midflight operator is at work',
      description: 'Agents answer, and nothing that is declared changes them.',
    },
  ],
  MidflightRuntimeNotScraped: [
    {
      world: { [UP]: '1+0x60 0+0x120', [`midflight_snapshots_total{${RUNTIME}}`]: '1+1x60 stale' },
      ...{ quietAt: 65, firesAt: 67 },
      labels: { ...TEAM, job: 'team/midflight-runtimes', instance: 'rt:9464', pod: 'rt-0' },
      summary: 'A runtime does not answer its metrics',
      description: 'Pod rt-0 of namespace team (rt:9464) told its metrics within the last hour and does not any more.',
    },
  ],
  MidflightPodsBehind: [
    {
      world: { [BEHIND]: `${ALL_ZERO}2+0x120` },
      ...{ quietAt: 62, firesAt: 64, labels: { kind: 'agents' } },
      summary: '2 pods lack what is declared of agents',
      description: 'They go on with what they have, or do not answer the operator.',
    },
  ],
  MidflightChangeRefused: [
    {
      world: { [STALLED]: `${ALL_ZERO}1+0x120` },
      ...{ quietAt: 65, firesAt: 67, labels: { kind: 'Agent' } },
      summary: '1 objects of kind Agent cannot be served as they are declared',
      description: 'The last good version of each serves, where there is one, until it is mended.',
    },
  ],
  MidflightReloadFailing: [
    {
      world: { [REJECTED]: `${ALL_ZERO}1+0x120` },
      ...{ quietAt: 65, firesAt: 67, labels: { ...TEAM, kind: 'bundles' } },
      summary: 'Runtimes of namespace team refuse a change of bundles',
      description: 'The last good version serves, where there is one (1 refusals over all pods).',
    },
  ],
  MidflightPropagationSlow: [
    {
      world: { [propagation('0.25')]: '0+98x180', [propagation('0.5')]: '0+98x180' },
      ...{ quietAt: 9, firesAt: 60, labels: {} },
      summary: 'Changes take 750ms to reach all pods (p99)',
      description: 'It should be a fraction of a second.',
    },
  ],
  MidflightToolHostRestarts: [
    {
      world: { [HOSTS]: `${ALL_ZERO}15+0x120` },
      ...{ quietAt: 60, firesAt: 65, labels: { ...TEAM, cause: 'memory' } },
      summary: 'Processes of tool code in namespace team end and are replaced: memory',
      description: '15 in 15 minutes. Each costs the calls that were under way in it.',
    },
  ],
  MidflightBootSetNotWritten: [
    {
      world: { [BOOT_SETS]: `${ALL_ZERO}1+0x120` },
      ...{ quietAt: 70, firesAt: 72, labels: {} },
      summary: 'Boot sets of 1 AgentRuntimes cannot be written',
      description: 'Nothing stops, but pods that start while no operator runs get an older set.',
    },
  ],
  MidflightRunsFail: [
    {
      world: { [runs('completed')]: '0+90x180', [runs('failed')]: '0+10x180' },
      ...{ quietAt: 9, firesAt: 60, labels: { ...TEAM, name: 'support' } },
      summary: '10% of the runs of support fail',
      description: 'In namespace team.',
    },
  ],
  MidflightRunsInterrupted: [
    {
      world: { [INTERRUPTED]: `${ALL_ZERO}2+0x120` },
      ...{ quietAt: 60, firesAt: 65, labels: TEAM },
      summary: 'Pods of namespace team stopped while runs went on',
      description: 'About 2 runs were cancelled: drainSeconds is shorter than they are, or the pod was ended by force.',
    },
  ],
  MidflightToolsFail: [
    {
      world: { [tools('ok')]: '0+80x180', [tools('error')]: '0+20x180' },
      ...{ quietAt: 9, firesAt: 60, labels: { ...TEAM, tool: 'files/look' } },
      summary: '20% of the calls of tool files/look fail',
      description: 'In namespace team. The model is told of each error.',
    },
  ],
  MidflightPodCallsFail: [
    {
      world: { [podCalls('timeout')]: '0+12x180' },
      ...{ quietAt: 14, firesAt: 60, labels: { call: 'activate', result: 'timeout' } },
      summary: 'Calls of pods by the operator end with timeout',
      description: '0.20 a second of call activate.',
    },
  ],
  MidflightApiServerRefuses: ['403', '429', '503', '<error>'].map((code) => ({
    world: { [requests(code)]: '0+12x180' },
    ...{ quietAt: 9, firesAt: 60, labels: { code } },
    summary: `The API server answers the operator with ${code}`,
    description: '0.20 a second.',
  })),
  MidflightWatchIsSilent: [
    {
      world: { [HEARD]: '0+60x60 3600+0x120' },
      ...{ quietAt: 74, firesAt: 77, labels: { kind: 'Agent' } },
      summary: 'The operator has heard nothing of Agent for 17m 0s',
      description: 'An API server sends something every minute or so, changes or not.',
    },
  ],
  MidflightOperatorIsStuck: [
    {
      world: { [longest()]: '0+0x60 130+0x120' },
      ...{ quietAt: 65, firesAt: 67, labels: { controller: 'objects' } },
      summary: 'Controller objects of the operator works on one object for 2m 10s',
      description: 'What else is declared is worked on by the other workers.',
    },
  ],
  MidflightOperatorPanics: [
    {
      world: { [panics()]: `${ALL_ZERO}1+0x120` },
      ...{ quietAt: 60, firesAt: 65, labels: { controller: 'objects' } },
      summary: 'Controller objects of the operator meets what it does not expect',
      description: 'It tries again; the object that it concerns may stay as it is.',
    },
  ],
  MidflightSomebodyElseWrites: [
    {
      world: { [REPAIRS]: `${ALL_ZERO}20+0x120` },
      ...{ quietAt: 60, firesAt: 65, labels: {} },
      summary: 'Somebody else writes to the registries of the pods',
      description: '20 repairs within an hour.',
    },
  ],
  MidflightEventLoopLags: [
    {
      world: { [lag()]: '0.1+0x60 0.75+0x120' },
      ...{ quietAt: 65, firesAt: 67, labels: { ...TEAM, pod: 'rt-0' } },
      summary: 'All runs of pod rt-0 wait for 750ms',
      description: 'Its event loop is held up, by a tool that computes for long or by too little CPU (namespace team).',
    },
  ],
}
