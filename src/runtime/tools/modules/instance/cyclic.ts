import type { Evaluation, Failure, Module } from './module.ts'

/** Counts modules in the order in which they begin to wait. */
export type Waiting = { count: number }

/** Passes a failure on through modules under way; only `evaluateModule` lets it out, as what was thrown. */
class Failed {
  readonly failure: Failure
  constructor(failure: Failure) {
    this.failure = failure
  }
}

/**
 * Evaluates a linked module and what it imports, each once, in the order of ECMA-262 (16.2.1.6.1, Evaluate): what does not
 * await runs at once, one after the other; what awaits lets those that do not need it go first. A module that threw
 * rejects with the same error whenever it is asked for.
 */
export function evaluateModule(asked: Module, waiting: Waiting): Promise<void> {
  const module = asked.root
  if (module.failure !== undefined) return Promise.reject(module.failure.error)
  if (module.status === 'evaluated') return Promise.resolve()
  const ended = module.evaluation?.ended ?? Promise.withResolvers<void>()
  if (module.evaluation !== undefined) {
    module.evaluation.ended = ended
    return ended.promise
  }
  const stack: Module[] = []
  try {
    visit(module, { stack, waiting, ended })
    if (module.evaluation === undefined) ended.resolve()
  } catch (error) {
    const failure = failureOf(error, module)
    for (const failed of stack) fail(failed, failure)
    ended.reject(failure.error)
  }
  return ended.promise
}

type Walk = {
  readonly stack: Module[]
  readonly waiting: Waiting
  readonly ended: PromiseWithResolvers<void> | undefined
}

function visit(module: Module, { stack, waiting, ended }: Walk): Evaluation {
  const index = stack.length
  const state: Evaluation = { index, low: index, pending: 0, parents: [], order: undefined, ended }
  module.status = 'evaluating'
  module.evaluation = state
  stack.push(module)
  for (const imported of module.imported)
    if (imported.type === 'file') visitImported(module, imported.module, { stack, waiting, ended: undefined })
  if (state.pending > 0 || module.code.isAsync) {
    state.order = waiting.count++
    if (state.pending === 0) start(module)
  } else run(module)
  if (state.low === index) close(module, stack)
  return state
}

function visitImported(importer: Module, imported: Module, walk: Walk): void {
  const state = stateOf(importer)
  if (imported.status === 'linked') visit(imported, walk)
  const isUnderWay = imported.status === 'evaluating'
  if (isUnderWay) state.low = Math.min(state.low, stateOf(imported).low)
  const awaited = isUnderWay ? imported : imported.root
  if (awaited.failure !== undefined) throw new Failed(awaited.failure)
  if (awaited.evaluation?.order === undefined) return
  state.pending += 1
  awaited.evaluation.parents.push(importer)
}

/** All modules of a cycle are under way until the first of them has come to its end. */
function close(root: Module, stack: Module[]): void {
  for (const module of stack.splice(stack.lastIndexOf(root))) {
    module.root = root
    if (stateOf(module).order === undefined) settle(module)
    else module.status = 'waiting'
  }
}

function run(module: Module): void {
  try {
    bodyOf(module).run(
      () => undefined,
      () => undefined,
    )
  } catch (error) {
    throw new Failed({ error, path: module.path })
  }
}

function start(module: Module): void {
  bodyOf(module).run(
    () => fulfilled(module),
    (error) => rejected(module, { error, path: module.path }),
  )
}

function fulfilled(module: Module): void {
  if (module.failure !== undefined) return
  const ready = new Set<Module>()
  gatherReady(module, ready)
  end(module)
  for (const parent of [...ready].sort((a, b) => orderOf(a) - orderOf(b))) {
    if (parent.failure !== undefined) continue
    if (parent.code.isAsync) start(parent)
    else runLate(parent)
  }
}

function runLate(module: Module): void {
  try {
    run(module)
    end(module)
  } catch (error) {
    rejected(module, failureOf(error, module))
  }
}

/** Modules for which this one was the last they waited for, and those that can run right behind them. */
function gatherReady(module: Module, ready: Set<Module>): void {
  for (const parent of module.evaluation?.parents ?? []) {
    if (ready.has(parent) || parent.root.failure !== undefined || parent.evaluation === undefined) continue
    parent.evaluation.pending -= 1
    if (parent.evaluation.pending > 0) continue
    ready.add(parent)
    if (!parent.code.isAsync) gatherReady(parent, ready)
  }
}

function rejected(module: Module, failure: Failure): void {
  if (module.failure !== undefined || module.status === 'evaluated') return
  const { parents = [], ended } = module.evaluation ?? {}
  fail(module, failure)
  for (const parent of parents) rejected(parent, failure)
  ended?.reject(failure.error)
}

function end(module: Module): void {
  const ended = module.evaluation?.ended
  settle(module)
  ended?.resolve()
}

function settle(module: Module): void {
  module.status = 'evaluated'
  module.evaluation = undefined
  module.body = undefined
}

function fail(module: Module, failure: Failure): void {
  settle(module)
  module.failure = failure
}

const orderOf = (module: Module): number => module.evaluation?.order ?? 0

const failureOf = (error: unknown, { path }: Module): Failure =>
  error instanceof Failed ? error.failure : { error, path }

function stateOf(module: Module): Evaluation {
  if (module.evaluation === undefined) throw new Error(`${module.path} is not being evaluated`)
  return module.evaluation
}

function bodyOf(module: Module) {
  if (module.body === undefined) throw new Error(`${module.path} is not linked`)
  return module.body
}
