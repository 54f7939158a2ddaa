// What a NetworkPolicy lets through, as rules of nftables. Pure.
// Only what policies of this project use is known; anything else is an error, so that nothing is let through by mistake.

/** A pod as far as policies are about it. */
export type PolicyPod = {
  readonly namespace: string
  readonly name: string
  readonly ip: string
  readonly labels: Readonly<Record<string, string>>
}

export type Labels = { readonly matchLabels?: Readonly<Record<string, string>> }
type Peer = { readonly podSelector?: Labels; readonly namespaceSelector?: Labels }
type Port = { readonly port: number; readonly protocol: string }
type Rule = { readonly from?: readonly Peer[]; readonly to?: readonly Peer[]; readonly ports?: readonly Port[] }

export type Policy = {
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly spec: {
    readonly podSelector: Labels
    readonly policyTypes: readonly ('Ingress' | 'Egress')[]
    readonly ingress?: readonly Rule[]
    readonly egress?: readonly Rule[]
  }
}

export type PolicyWorld = {
  readonly policies: readonly Policy[]
  readonly pods: readonly PolicyPod[]
  /** Labels by namespace. */
  readonly namespaces: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** Whose calls no policy is about: the node's own, as those of its kubelet. */
  readonly node: string
}

const DIRECTIONS = [
  { type: 'Ingress', rules: 'ingress', peers: 'from', hook: 'input', address: 'saddr' },
  { type: 'Egress', rules: 'egress', peers: 'to', hook: 'output', address: 'daddr' },
] as const
type Direction = (typeof DIRECTIONS)[number]

const TABLE = 'inet midflight_policy'

/** A program for nft that replaces the rules in a pod's own network; an empty table where no policy selects the pod. */
export function rulesFor(pod: PolicyPod, world: PolicyWorld): string {
  const chains = DIRECTIONS.flatMap((direction) => chainFor(pod, direction, world))
  // To delete a table it must be there.
  return [`table ${TABLE} {}`, `delete table ${TABLE}`, `table ${TABLE} {`, ...chains, '}', ''].join('\n')
}

function chainFor(pod: PolicyPod, direction: Direction, world: PolicyWorld): readonly string[] {
  const selecting = world.policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === pod.namespace &&
      spec.policyTypes.includes(direction.type) &&
      selects(spec.podSelector, pod.labels),
  )
  if (selecting.length === 0) return []
  const { hook, address, type } = direction
  const rules = selecting.flatMap(({ metadata, spec }) =>
    (spec[direction.rules] ?? []).flatMap((rule) => acceptOf(rule, metadata.namespace, direction, world)),
  )
  return [
    `  chain ${type.toLowerCase()} {`,
    `    type filter hook ${hook} priority 0; policy drop;`,
    '    ct state established,related accept',
    `    ${hook === 'input' ? 'iif' : 'oif'} lo accept`,
    '    meta l4proto { icmp, icmpv6 } accept',
    `    ip ${address} ${world.node} accept`,
    ...rules.map((rule) => `    ${rule}`),
    '  }',
  ]
}

function acceptOf(rule: Rule, namespace: string, direction: Direction, world: PolicyWorld): readonly string[] {
  const peers = rule[direction.peers]
  const addresses = peers?.flatMap((peer) => addressesOf(peer, namespace, world))
  // Nobody is meant, which is not the same as everybody.
  if (addresses?.length === 0) return []
  const who = addresses === undefined ? '' : `ip ${direction.address} { ${[...new Set(addresses)].join(', ')} } `
  return (rule.ports ?? []).map(({ port, protocol }) => `${who}${protocol.toLowerCase()} dport ${port} accept`)
}

function addressesOf(peer: Peer, namespace: string, { pods, namespaces }: PolicyWorld): readonly string[] {
  for (const key of Object.keys(peer))
    if (key !== 'podSelector' && key !== 'namespaceSelector') throw new Error(`a peer by ${key} is not known here`)
  const { podSelector, namespaceSelector } = peer
  return pods
    .filter((pod) =>
      namespaceSelector === undefined
        ? pod.namespace === namespace
        : selects(namespaceSelector, namespaces[pod.namespace] ?? {}),
    )
    .filter((pod) => podSelector === undefined || selects(podSelector, pod.labels))
    .map(({ ip }) => ip)
}

function selects(selector: Labels, labels: Readonly<Record<string, string>>): boolean {
  for (const key of Object.keys(selector))
    if (key !== 'matchLabels') throw new Error(`a selector by ${key} is not known here`)
  return Object.entries(selector.matchLabels ?? {}).every(([name, value]) => labels[name] === value)
}
