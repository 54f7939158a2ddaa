import { ProblemError } from '../../../../api/reason.ts'
import type { Authored } from '../../author/authored.ts'
import type { ParameterReader } from '../../author/parameters.ts'
import type { DynamicLink } from '../../modules/link.ts'
import type { ToolLogLine } from '../../port.ts'
import type { ToHost } from '../channel/messages.ts'
import { exit, send } from './channel.ts'
import { loadCode } from './load.ts'
import { perform } from './perform.ts'
import { createStateCopy, type StateCopy } from './state-copy.ts'
import { failureOf } from './thrown.ts'
import { warmUp } from './warm.ts'

type Message<Type extends ToHost['type']> = Extract<ToHost, { type: Type }>

/** The code of one bundle, as the messages of the runtime ask for it. Nothing here throws or rejects. */
export type Code = {
  /** Does once what loads and calls do, and forgets it. */
  warm(message: Message<'warm'>): Promise<void>
  load(message: Message<'load'>): Promise<void>
  call(message: Message<'call'>): Promise<void>
  abort(id: number, reason: string): void
  linked(message: Message<'linked' | 'notLinked'>): void
  /** Another process has set a value of `defineState`. */
  stateSet(message: Message<'state'>): void
  /** Tells what code has set and nobody was told yet. */
  flush(): void
  /** Aborts what is under way, gives it a moment, and ends the process. */
  end(): void
}

/** How long code may take to hear of the end. */
const GOODBYE_MS = 100
const GONE = 'the version of the tool was taken out of service'

// Taken before tool code runs, which may replace them. Dictionaries without prototype need nothing of it.
const { AbortController: Controller, setTimeout: startTimer } = globalThis
const abort: (controller: AbortController, reason: unknown) => void = Function.prototype.call.bind(
  AbortController.prototype.abort,
)

export function createCode(parametersOf: ParameterReader): Code {
  const calls: Record<number, AbortController> = Object.create(null)
  const links: Record<number, PromiseWithResolvers<DynamicLink>> = Object.create(null)
  let asked = 0
  let authored: Authored | undefined
  let states: StateCopy | undefined
  const flush = () => states?.flush()
  const linkDynamic = (from: string, specifier: string): Promise<DynamicLink> => {
    asked += 1
    const answered = Promise.withResolvers<DynamicLink>()
    links[asked] = answered
    send({ type: 'link', id: asked, from, specifier })
    return answered.promise
  }
  return {
    async warm(message) {
      await warmUp(message, parametersOf).catch(() => undefined)
      send({ type: 'ready' })
    },
    async load(message) {
      states = createStateCopy(message.states, send)
      process.on('exit', flush)
      try {
        const { loaded, reloaded, checkMs } = await loadCode(message, {
          linkDynamic,
          parametersOf,
          evaluating: (file) => send({ type: 'evaluating', file }),
          checking: (tool, file) => send({ type: 'checking', tool, file }),
          states: states.states,
          log: logOf(0),
        })
        authored = loaded
        flush()
        send({ type: 'loaded', ...descriptionsOf(loaded), reloaded, checkMs })
      } catch (error) {
        send({ type: 'refused', failure: failureOf(error, 'ToolLoadFailed', 'the code cannot be loaded') })
      }
    },
    async call({ id, work, context }) {
      const controller = new Controller()
      calls[id] = controller
      try {
        send({ type: 'begun', id })
        const value = await perform(authored, work, { ...context, signal: controller.signal, log: logOf(id) })
        flush()
        send({ type: 'result', id, value })
      } catch (error) {
        // What tools throw has become a problem: this is the host's own code, which cannot go on.
        if (!(error instanceof ProblemError)) return broken(error)
        flush()
        send({ type: 'failed', id, failure: failureOf(error, 'ToolFailed', 'the call failed') })
      } finally {
        delete calls[id]
      }
    },
    abort(id, reason) {
      send({ type: 'aborted', id })
      const controller = calls[id]
      if (controller !== undefined) abort(controller, new Error(reason))
    },
    stateSet: ({ name, value, seen }) => states?.heard(name, value, seen),
    flush,
    linked(message) {
      const link = links[message.id]
      delete links[message.id]
      if (message.type === 'linked') link?.resolve(message)
      else link?.reject(new ProblemError(message.problem))
    },
    end() {
      startTimer(() => exit(0), GOODBYE_MS)
      for (const id in calls) {
        const controller = calls[id]
        if (controller !== undefined) abort(controller, new Error(GONE))
      }
    },
  }
}

function broken(error: unknown): never {
  const { problem, stack } = failureOf(error, 'ToolFailed', 'has changed what all code shares, and cannot go on')
  send({ type: 'fatal', message: problem.message, stack })
  return exit(1)
}

const logOf = (id: number) => (line: ToolLogLine) => send({ type: 'log', id, line })

function descriptionsOf({ tools, extensions, warnings }: Authored) {
  return {
    tools: [...tools.values()].map(({ description: { bundle: _, ...description } }) => description),
    extensions: [...extensions.values()].map(({ description: { bundle: _, ...description } }) => description),
    warnings,
  }
}
