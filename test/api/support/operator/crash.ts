import type { ApplyRequest, ApplyResponse } from '../../../../src/api/index.ts'
import type { Management } from '../../../../src/runtime/registry/index.ts'
import { type Cluster, until } from '../../harness/index.ts'
import { type Fate, type Gateway, PASS, startGateway } from './gateway.ts'
import { startTestOperator, type TestOperator } from './operator.ts'

/** What a runtime did for an operator, whether the operator heard of it or not. */
export type Done = { readonly runtime: number; readonly request: ApplyRequest; readonly response: ApplyResponse }

/**
 * Operators, one after the other, of which each may be killed at one of its boundaries: before a request or a call
 * leaves it, or after it took effect and before its answer is there. Nothing of a killed one reaches anybody any more.
 */
export interface Line {
  /** Comes between the protocol and the registry of every runtime. */
  readonly wrap: (management: Management, runtime: number) => Management
  /** Every apply that took effect, oldest first. */
  readonly done: readonly Done[]
  /** How many boundaries the operator has passed since it was armed; 0 when it is not. */
  readonly passed: number
  readonly isDead: boolean
  /** A fresh operator, which is not armed. The one before it must be dead. */
  start(cluster: Cluster): Promise<void>
  /** Boundary `at` from now on kills the operator; none does when absent. */
  arm(at?: number): void
  /** SIGKILL, as far as the world can tell. */
  kill(): void
  /** Nothing comes to the operator on the watches of a resource until it is released. */
  hold(plural: string): void
  release(plural: string): void
  /** Ends everything. */
  end(): Promise<void>
}

type Living = { readonly gateway: Gateway; readonly operator: TestOperator }

export function createLine(): Line {
  const done: Done[] = []
  const ended: Promise<unknown>[] = []
  let living: Living | undefined
  let fuse: { count: number; readonly at: number } | undefined
  let lastFence = 0
  let deadFence = 0

  const kill = () => {
    if (living === undefined) return
    const { gateway, operator } = living
    living = undefined
    fuse = undefined
    deadFence = lastFence
    gateway.kill()
    // Whatever it still does ends at a closed door.
    ended.push(operator.stop().then(() => gateway[Symbol.asyncDispose]()))
  }
  /** Each step is two boundaries. */
  const step = (): Fate => {
    if (fuse === undefined) return PASS
    const before = fuse.count
    fuse.count += 2
    if (before === fuse.at) {
      kill()
      return { type: 'cut' }
    }
    return before + 1 === fuse.at ? { type: 'lose', whenDone: kill } : PASS
  }
  return {
    done,
    get passed() {
      return fuse?.count ?? 0
    },
    get isDead() {
      return living === undefined
    },
    wrap: (management, runtime) => ({
      state: () => management.state(),
      events: (signal, lastEventId) => management.events(signal, lastEventId),
      apply: async (request) => {
        if (request.fence <= deadFence) throw new Error('its sender is dead')
        lastFence = Math.max(lastFence, request.fence)
        const fate = step()
        if (fate.type === 'cut') throw new Error('its sender is dead')
        const response = await management.apply(request)
        done.push({ runtime, request, response })
        if (fate.type === 'lose') fate.whenDone?.()
        return response
      },
    }),
    start: async (cluster) => {
      if (living !== undefined) throw new Error('one operator at a time')
      const gateway = await startGateway(cluster)
      gateway.decide(({ path }) => (path === '/livez' ? PASS : step()))
      const operator = await startTestOperator(cluster, { config: gateway.config })
      living = { gateway, operator }
      await until('it leads', () => operator.phase() === 'leading')
    },
    arm: (at = -1) => {
      fuse = { count: 0, at }
    },
    kill,
    hold: (plural) => living?.gateway.hold(plural),
    release: (plural) => living?.gateway.release(plural),
    end: async () => {
      kill()
      await Promise.all(ended)
    },
  }
}
