import { type ApplyRequest, type ItemResult, type Owner, type Problem, ProblemError } from '../../../api/index.ts'

/** What decides whether an `apply` is looked at: who may write, and to which process. */
export type Guard = {
  readonly bootId: string
  readonly fence: number
  readonly claimedBy?: string | undefined
  readonly snapshot: string
}

/**
 * The guard after a call, or a refusal before anything of the call was looked at.
 * @throws ProblemError StaleFence, WrongTarget, Claimed, SnapshotMoved
 */
export function admit(guard: Guard, request: ApplyRequest): Guard {
  const refusal = refusalOf(guard, request)
  if (refusal) throw new ProblemError(refusal)
  return request.mode === 'check' ? guard : { ...guard, fence: request.fence, claimedBy: request.claim }
}

/** The refusal of a call that is overtaken by another operator. */
export const staleFence = (fence: number, newest: number): Problem => ({
  reason: 'StaleFence',
  message: `fence ${fence} is below ${newest}: a newer operator has written to this runtime`,
})

/** The guard after its holder gave the claim up. The fence stays. */
export function released<G extends Omit<Guard, 'snapshot'>>(guard: G, claim: string): G {
  return guard.claimedBy === claim ? { ...guard, claimedBy: undefined } : guard
}

function refusalOf(guard: Guard, { target, fence, claim, ifSnapshot }: ApplyRequest): Problem | undefined {
  if (target.bootId !== guard.bootId) {
    const message = `target.bootId is ${target.bootId}, this process is ${guard.bootId}; read its state again`
    return { reason: 'WrongTarget', message }
  }
  if (fence < guard.fence) return staleFence(fence, guard.fence)
  if (guard.claimedBy !== undefined && guard.claimedBy !== claim) {
    return { reason: 'Claimed', message: `the runtime is claimed by ${guard.claimedBy}, not ${claim}` }
  }
  if (ifSnapshot !== undefined && ifSnapshot !== guard.snapshot) {
    return {
      reason: 'SnapshotMoved',
      message: `snapshot is ${guard.snapshot}, not ${ifSnapshot}; read the state again`,
    }
  }
  return undefined
}

/** The refusal of a change to what another owns. */
export const ownedBy = (owner: Owner, id: string): Problem => ({
  reason: 'OwnedByOther',
  message: `${id} is owned by ${owner}`,
})

/** What became of a version that was still being loaded when a newer one of its id arrived. */
export const SUPERSEDED: ItemResult = {
  outcome: 'pending',
  error: { reason: 'Superseded', message: 'a newer version arrived while this one was being loaded' },
}
