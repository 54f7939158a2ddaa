import type { ServedTool } from '../snapshot.ts'

/** True for an entry of `Agent.tools` that may match any number of tools, none included. */
export const isGlob = (pattern: string): boolean => pattern.includes('*')

/** A matcher for a glob: `*` stands for any characters of a tool's name, never for a bundle's. */
function matcher(pattern: string): (name: string) => boolean {
  const source = pattern
    .split('*')
    .map((part) => RegExp.escape(part))
    .join('[^/]*')
  const expression = new RegExp(`^${source}$`)
  return (name) => expression.test(name)
}

/**
 * The tools that entries of `Agent.tools` name, each once, in the order of the entries. A bare name or glob looks at
 * the tools served under their bare names, `bundle/name` at that bundle's.
 */
export function selectTools(patterns: readonly string[], tools: ReadonlyMap<string, ServedTool>): ServedTool[] {
  const selected = new Map<string, ServedTool>()
  const select = (tool: ServedTool) => selected.set(`${tool.description.bundle}/${tool.description.name}`, tool)
  for (const pattern of patterns) {
    const exact = tools.get(pattern)
    if (exact) select(exact)
    if (!isGlob(pattern)) continue
    const matches = matcher(pattern)
    for (const [name, tool] of tools) if (matches(name)) select(tool)
  }
  return [...selected.values()]
}
