import type { JSONValue } from '@ai-sdk/provider'
import type { Problem, WorkflowStep } from '../../api/index.ts'

/** How a step ended. A skipped step satisfies those that need it, with output null. */
export type StepEnd =
  | { readonly status: 'completed'; readonly output: JSONValue }
  | { readonly status: 'skipped' }
  | { readonly status: 'failed'; readonly error: Problem }

export type StepEnds = ReadonlyMap<string, StepEnd>

/** The steps that can begin: not begun yet, and every step they need has ended well. */
export function readySteps(
  steps: readonly WorkflowStep[],
  begun: ReadonlySet<string>,
  ends: StepEnds,
): readonly WorkflowStep[] {
  const isMet = (need: string): boolean => {
    const status = ends.get(need)?.status
    return status === 'completed' || status === 'skipped'
  }
  return steps.filter(({ name, needs }) => !begun.has(name) && needs.every(isMet))
}

/** The steps that a step needs, and those that these need, and so on. */
export function neededBy(steps: readonly WorkflowStep[], name: string): ReadonlySet<string> {
  const byName = new Map(steps.map((step) => [step.name, step]))
  const needed = new Set<string>()
  const open = [name]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const need of byName.get(next)?.needs ?? []) {
      if (needed.has(need)) continue
      needed.add(need)
      open.push(need)
    }
  }
  return needed
}

export const outputOf = (end: StepEnd | undefined): JSONValue => (end?.status === 'completed' ? end.output : null)

/** The output of the last steps that ran: of one its own, of several an object by name, of none null. */
export function workflowOutput(steps: readonly WorkflowStep[], ends: StepEnds): JSONValue {
  const needed = new Set(steps.flatMap(({ needs }) => needs))
  const last = steps.filter(({ name }) => !needed.has(name) && ends.get(name)?.status === 'completed')
  const [only, ...others] = last
  if (only === undefined) return null
  if (others.length === 0) return outputOf(ends.get(only.name))
  return Object.fromEntries(last.map(({ name }) => [name, outputOf(ends.get(name))]))
}
