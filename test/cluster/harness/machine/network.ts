import { NETWORK } from '../setup/layout.ts'
import { linesOf, run, tryRun } from './run.ts'

/** The bridge that pods hang on, with the node's address; all is left as it is where it is there. */
export async function bringUpBridge(): Promise<void> {
  const { bridge, address } = NETWORK
  await tryRun('ip', ['link', 'add', bridge, 'type', 'bridge'])
  await tryRun('ip', ['addr', 'add', `${address}/24`, 'dev', bridge])
  await run('ip', ['link', 'set', bridge, 'up'])
  await run('sysctl', ['-qw', 'net.ipv4.ip_forward=1'])
}

/** The chains of kube-proxy and kubelet, and of CNI's masquerading. */
const OURS = /\b(KUBE|CNI)-/

const FAMILIES = [
  { save: 'iptables-save', restore: 'iptables-restore', nft: 'ip' },
  { save: 'ip6tables-save', restore: 'ip6tables-restore', nft: 'ip6' },
] as const

/** The rules and chains that a node has made. */
export async function ownRules(): Promise<readonly string[]> {
  const texts = await Promise.all(FAMILIES.map(({ save }) => tryRun(save, [])))
  return texts.flatMap((text) => linesOf(text ?? '').filter((line) => OURS.test(line)))
}

/** The tables of nftables; iptables makes some where it finds none. */
export const nftTables = async (): Promise<readonly string[]> =>
  linesOf((await tryRun('nft', ['list', 'tables'])) ?? '')

/** Takes away the node's bridge, rules and chains, and the tables that were not among `tablesBefore`. */
export async function takeDownNetwork(tablesBefore: readonly string[]): Promise<void> {
  await tryRun('ip', ['link', 'del', NETWORK.bridge])
  for (const { save, restore, nft } of FAMILIES) {
    const rules = (await tryRun(save, [])) ?? ''
    if (OURS.test(rules)) {
      const others = rules.split('\n').filter((line) => !OURS.test(line))
      await run(restore, [], { input: others.join('\n') })
    }
    for (const table of await nftTables()) {
      const name = table.replace('table ', '')
      if (!name.startsWith(`${nft} `) || tablesBefore.includes(table)) continue
      const text = (await tryRun('nft', ['list', 'table', ...name.split(' ')])) ?? ''
      // Only base chains: iptables made them to have somewhere to look.
      if (isEmptyTable(text)) await run('nft', ['delete', 'table', ...name.split(' ')])
    }
  }
}

const isEmptyTable = (text: string) => linesOf(text).every((line) => /^\s*(table |chain |type |\}|#)/.test(line))

/** Settings of the kernel that kubelet, kube-proxy and the bridge change. */
const SETTINGS = [
  'net.ipv4.ip_forward',
  'net.ipv4.conf.all.route_localnet',
  'vm.overcommit_memory',
  'vm.panic_on_oom',
  'kernel.panic',
  'kernel.panic_on_oops',
  'kernel.keys.root_maxkeys',
  'kernel.keys.root_maxbytes',
  'net.netfilter.nf_conntrack_max',
  'net.netfilter.nf_conntrack_tcp_timeout_established',
  'net.netfilter.nf_conntrack_tcp_timeout_close_wait',
]

/** As `name = value`; what the kernel does not know is left out. */
export async function kernelSettings(): Promise<readonly string[]> {
  const lines = await Promise.all(SETTINGS.map((name) => tryRun('sysctl', [name])))
  return lines.flatMap((line) => linesOf(line ?? ''))
}

/** @param settings as `kernelSettings` gave them */
export async function restoreKernelSettings(settings: readonly string[]): Promise<void> {
  const now = await kernelSettings()
  for (const setting of settings) {
    if (!now.includes(setting)) await tryRun('sysctl', ['-qw', setting.replace(' = ', '=')])
  }
}
