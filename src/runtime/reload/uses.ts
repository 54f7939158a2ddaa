import { findPromptBundle } from '../registry/plan/build.ts'
import { selectTools } from '../registry/plan/tool-names.ts'
import type { AnyActiveItem, Snapshot } from '../registry/snapshot.ts'

/** Entry files (`bundle/path`) that an item names or matches, sorted. */
export function filesUsed(item: AnyActiveItem, { bundles, tools }: Snapshot): string[] {
  const { definition } = item
  switch (definition.kind) {
    case 'Agent': {
      const named = selectTools(definition.spec.tools, tools).map(({ description }) => fileOf(description))
      const { prompt } = definition.spec
      const holder = prompt && findPromptBundle(bundles, prompt)
      const file = prompt && holder?.prompts.get(prompt.file)?.file
      return [...new Set([...named, ...(holder && file ? [`${holder.name}/${file}`] : [])])].sort()
    }
    case 'Workflow': {
      const names = definition.spec.steps.flatMap(({ tool }) => (tool === undefined ? [] : [tool]))
      return [...new Set(selectTools(names, tools).map(({ description }) => fileOf(description)))].sort()
    }
    case 'Team':
    case 'Settings':
      return []
  }
}

const fileOf = ({ bundle, file }: { bundle: string; file: string }): string => `${bundle}/${file}`

/** By entry file, the ids of the items that use it. */
export function usersOf(snapshot: Snapshot): Map<string, string[]> {
  const users = new Map<string, string[]>()
  for (const item of [...snapshot.agents.values(), ...snapshot.workflows.values()])
    for (const file of filesUsed(item, snapshot)) users.set(file, [...(users.get(file) ?? []), item.id])
  return users
}
