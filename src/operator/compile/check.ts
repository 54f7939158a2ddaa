import {
  checkExpression,
  checkTemplate,
  type Problem,
  type Resource,
  regExpFault,
  type SpecOf,
  type WorkflowStep,
} from '../../api/index.ts'
import { checkMemory } from './memory.ts'

/** What a schema cannot tell but the object alone can: CEL text, regular expressions, the graph of steps. */
export function checkResource(resource: Resource): Problem | undefined {
  switch (resource.kind) {
    case 'AgentRuntime':
      return checkScripts(resource.spec) ?? checkMemory(resource.spec)
    case 'Workflow':
      return checkSteps(resource.spec.steps)
    case 'Agent':
    case 'Team':
      return undefined
  }
}

function checkScripts({ models }: SpecOf<'AgentRuntime'>): Problem | undefined {
  for (const [modelIndex, { script = [] }] of models.entries()) {
    for (const [index, { match }] of script.entries()) {
      const fault = regExpFault(match)
      const path = `spec.models[${modelIndex}].script[${index}].match`
      if (fault) return { reason: 'InvalidExpression', path, message: `${path}: ${fault}` }
    }
  }
  return undefined
}

function checkSteps(steps: readonly WorkflowStep[]): Problem | undefined {
  const names = new Set(steps.map(({ name }) => name))
  for (const [index, step] of steps.entries()) {
    const at = `spec.steps[${index}]`
    const missing = step.needs.findIndex((need) => !names.has(need))
    if (missing >= 0) {
      const path = `${at}.needs[${missing}]`
      return { reason: 'StepNotFound', path, message: `${path}: there is no step "${step.needs[missing]}"` }
    }
    const problem = checkText(step, at)
    if (problem) return problem
  }
  return checkStepCycle(steps)
}

function checkText({ when, input }: WorkflowStep, at: string): Problem | undefined {
  const inWhen = when === undefined ? undefined : checkExpression(when, 'bool')
  if (inWhen) return { ...inWhen, path: `${at}.when`, message: `${at}.when: ${inWhen.message}` }
  const inInput = input === undefined ? undefined : checkTemplate(input)
  return inInput && { ...inInput, path: `${at}.input`, message: `${at}.input: ${inInput.message}` }
}

/** Steps that wait for each other: what is left when steps are taken away as soon as their needs are. */
function checkStepCycle(steps: readonly WorkflowStep[]): Problem | undefined {
  const done = new Set<string>()
  let left = steps
  for (;;) {
    const ready = left.filter(({ needs }) => needs.every((need) => done.has(need)))
    if (ready.length === 0) break
    for (const { name } of ready) done.add(name)
    left = left.filter(({ name }) => !done.has(name))
  }
  const first = left[0]
  if (first === undefined) return undefined
  const path = `spec.steps[${steps.indexOf(first)}].needs`
  const names = left.map(({ name }) => name).join(', ')
  return { reason: 'StepCycle', path, message: `${path}: these steps wait for each other: ${names}` }
}
