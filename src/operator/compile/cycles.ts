import { type ItemId, itemIdOf, type Problem, type Resource } from '../../api/index.ts'

/** What an agent or team may call, and where its spec says so. */
function callsOf(resource: Resource): readonly { id: ItemId; path: string }[] {
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

/** The problem of each agent and team that can come to call itself, with the chain and the entry that begins it. */
export function cyclesOf(resources: readonly Resource[]): Map<ItemId, Problem> {
  const calls = new Map(
    resources.flatMap((resource) => {
      const edges = callsOf(resource)
      return resource.kind === 'AgentRuntime' || edges.length === 0
        ? []
        : [[itemIdOf(resource.kind, resource.name), edges] as const]
    }),
  )
  const problems = new Map<ItemId, Problem>()
  for (const id of calls.keys()) {
    const chain = chainBack(id, id, calls, new Set())
    if (chain === undefined) continue
    const path = calls.get(id)?.find((edge) => edge.id === chain[0])?.path ?? ''
    const message = `${path}: ${[id, ...chain].join(' → ')}: nothing may call itself, even through others`
    problems.set(id, { reason: 'ReferenceCycle', path, message })
  }
  return problems
}

function chainBack(
  from: ItemId,
  goal: ItemId,
  calls: ReadonlyMap<ItemId, readonly { id: ItemId }[]>,
  seen: Set<ItemId>,
): ItemId[] | undefined {
  for (const { id } of calls.get(from) ?? []) {
    if (id === goal) return [id]
    if (seen.has(id)) continue
    seen.add(id)
    const rest = chainBack(id, goal, calls, seen)
    if (rest) return [id, ...rest]
  }
  return undefined
}
