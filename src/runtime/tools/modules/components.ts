type Visit = { readonly index: number; low: number; isOpen: boolean }

/**
 * The strongly connected components of what can be reached from some nodes, each after those that it leads to (Tarjan);
 * within a component too, as far as there is a first.
 */
export function componentsOf<Node>(from: Iterable<Node>, edgesOf: (node: Node) => Iterable<Node>): Node[][] {
  const visits = new Map<Node, Visit>()
  /** Nodes left, of components that are not complete. */
  const left: (readonly [Node, Visit])[] = []
  const components: Node[][] = []
  const visitAll = (node: Node): Visit => {
    const visit = { index: visits.size, low: visits.size, isOpen: true }
    const before = left.length
    visits.set(node, visit)
    for (const next of edgesOf(node)) {
      const known = visits.get(next)
      if (known === undefined) visit.low = Math.min(visit.low, visitAll(next).low)
      else if (known.isOpen) visit.low = Math.min(visit.low, known.index)
    }
    left.push([node, visit])
    if (visit.low === visit.index) components.push(closed(left.splice(before)))
    return visit
  }
  for (const node of from) if (!visits.has(node)) visitAll(node)
  return components
}

function closed<Node>(component: readonly (readonly [Node, Visit])[]): Node[] {
  for (const [, visit] of component) visit.isOpen = false
  return component.map(([node]) => node)
}
