export { LIFETIMES, type Lifetimes } from './lifetimes.ts'
export type {
  PodCredentials,
  TokenChoice,
  Trust,
  TrustAccess,
  TrustClient,
  TrustOutcome,
  TrustRequest,
} from './port.ts'
export { keySecretName, managedServerName, managementSecretName } from './secret.ts'
export { createTrust, type TrustOptions } from './trust.ts'
