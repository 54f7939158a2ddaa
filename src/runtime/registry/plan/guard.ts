import { type ApplyRequest, type Owner, type Problem, ProblemError, type Reason } from '../../../api/index.ts'

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
  if (refusal) throw new ProblemError({ reason: refusal[0], message: refusal[1] })
  return request.mode === 'check' ? guard : { ...guard, fence: request.fence, claimedBy: request.claim }
}

/** The guard after its holder gave the claim up. The fence stays. */
export function released<G extends Omit<Guard, 'snapshot'>>(guard: G, claim: string): G {
  return guard.claimedBy === claim ? { ...guard, claimedBy: undefined } : guard
}

function refusalOf(guard: Guard, { target, fence, claim, ifSnapshot }: ApplyRequest): [Reason, string] | undefined {
  if (target.bootId !== guard.bootId) {
    return ['WrongTarget', `target.bootId is ${target.bootId}, this process is ${guard.bootId}; read its state again`]
  }
  if (fence < guard.fence) {
    return ['StaleFence', `fence ${fence} is below ${guard.fence}: a newer operator has written to this runtime`]
  }
  if (guard.claimedBy !== undefined && guard.claimedBy !== claim) {
    return ['Claimed', `the runtime is claimed by ${guard.claimedBy}, not ${claim}`]
  }
  if (ifSnapshot !== undefined && ifSnapshot !== guard.snapshot) {
    return ['SnapshotMoved', `snapshot is ${guard.snapshot}, not ${ifSnapshot}; read the state again`]
  }
  return undefined
}

/** The refusal of a change to what another owns. */
export const ownedBy = (owner: Owner, id: string): Problem => ({
  reason: 'OwnedByOther',
  message: `${id} is owned by ${owner}`,
})
