import { createNetwork } from './network.ts'
import { createPolicy } from './policy.ts'

/** As a runtime on a developer's machine has it: servers of tests listen on loopback. */
export const openNetwork = createNetwork(createPolicy({ allow: [], loopback: true }))
