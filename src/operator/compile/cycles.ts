import { type ItemId, itemIdOf, type Problem, type Resource } from '../../api/index.ts'

/** What an agent or team may call, and where its spec says so. */
type Call = { readonly id: ItemId; readonly path: string }
type Calls = ReadonlyMap<ItemId, readonly Call[]>

function callsOf(resource: Resource): readonly Call[] {
  switch (resource.kind) {
    case 'Agent':
      return resource.spec.agents.map((name, index) => ({ id: itemIdOf('Agent', name), path: `spec.agents[${index}]` }))
    case 'Team':
      return resource.spec.members.map((member, index) =>
        member.agent === undefined
          ? { id: itemIdOf('Team', member.team ?? ''), path: `spec.members[${index}].team` }
          : { id: itemIdOf('Agent', member.agent), path: `spec.members[${index}].agent` },
      )
    case 'Workflow':
    case 'AgentRuntime':
      return []
  }
}

/** Longest chain that is told whole, in names. */
const MAX_CHAIN = 16
/** How many are looked through for it at most: who calls whom may be anybody. */
const MAX_SEEN = 256

/**
 * The problem of each agent and team that can come to call itself, with the shortest chain back and the entry that
 * begins it. Takes time in proportion to how many calls there are, and no stack, however long the chains.
 */
export function cyclesOf(resources: readonly Resource[]): Map<ItemId, Problem> {
  const calls: Calls = new Map(
    resources.flatMap((resource) => {
      const edges = callsOf(resource)
      return resource.kind === 'AgentRuntime' || edges.length === 0
        ? []
        : [[itemIdOf(resource.kind, resource.name), edges] as const]
    }),
  )
  const groups = groupsOf(calls)
  const problems = new Map<ItemId, Problem>()
  for (const [id, edges] of calls) {
    // Whoever is called within the group leads back.
    const first = edges.find((edge) => groups.get(edge.id) === groups.get(id))
    if (first === undefined) continue
    const chain = chainBack(first.id, id, calls) ?? [first.id, '…', id]
    const message = `${first.path}: ${[id, ...chain].join(' → ')}: nothing may call itself, even through others`
    problems.set(id, { reason: 'ReferenceCycle', path: first.path, message })
  }
  return problems
}

/** The shortest way to the goal, both ends included; undefined when it is too long to tell, or to look for. */
function chainBack(from: ItemId, goal: ItemId, calls: Calls): ItemId[] | undefined {
  const seen = new Set([from])
  let chains: ItemId[][] = [[from]]
  for (let length = 1; length < MAX_CHAIN && seen.size < MAX_SEEN; length++) {
    const found = chains.find((chain) => chain.at(-1) === goal)
    if (found) return found
    chains = chains.flatMap((chain) => {
      const next = (calls.get(chain.at(-1) ?? from) ?? []).filter(({ id }) => !seen.has(id))
      for (const { id } of next) seen.add(id)
      return next.map(({ id }) => [...chain, id])
    })
  }
  return undefined
}

/** By each that is called: who calls it. */
function callersOf(calls: Calls): ReadonlyMap<ItemId, readonly ItemId[]> {
  const callers = new Map<ItemId, ItemId[]>()
  for (const [id, edges] of calls) {
    for (const edge of edges) {
      const known = callers.get(edge.id)
      if (known === undefined) callers.set(edge.id, [id])
      else known.push(id)
    }
  }
  return callers
}

/** Numbers such that two have the same one when each can come to call the other (Kosaraju's algorithm). */
function groupsOf(calls: Calls): ReadonlyMap<ItemId, number> {
  const callers = callersOf(calls)
  const groups = new Map<ItemId, number>()
  for (const [group, root] of lastLeftFirst(calls).entries()) {
    const left = [root]
    for (let id = left.pop(); id !== undefined; id = left.pop()) {
      if (groups.has(id)) continue
      groups.set(id, group)
      // One by one: as arguments, very many would not fit on the stack.
      for (const caller of callers.get(id) ?? []) left.push(caller)
    }
  }
  return groups
}

/** All that call, in the opposite order of that in which a search in depth leaves them. */
function lastLeftFirst(calls: Calls): ItemId[] {
  const seen = new Set<ItemId>()
  const left: ItemId[] = []
  for (const root of calls.keys()) {
    const path: { readonly id: ItemId; readonly rest: Iterator<Call> }[] = []
    const enter = (id: ItemId) => {
      const edges = calls.get(id)
      if (edges === undefined || seen.has(id)) return
      seen.add(id)
      path.push({ id, rest: edges.values() })
    }
    enter(root)
    for (let at = path.at(-1); at !== undefined; at = path.at(-1)) {
      const next = at.rest.next()
      if (next.done) left.push(path.pop()?.id ?? at.id)
      else enter(next.value.id)
    }
  }
  return left.reverse()
}
