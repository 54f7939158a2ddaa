export { createNetwork, createNetworks, type Network, type Resolve } from './network.ts'
export { type AddressPolicy, createPolicy } from './policy.ts'
export { admitUrl } from './url.ts'
