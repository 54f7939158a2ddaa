export type { PodChange, PodConnection, PodPhase } from './connection.ts'
export { createStateInterner, type StateInterner } from './interner.ts'
export { connectPod, type PodConnectionOptions } from './pod-connection.ts'
