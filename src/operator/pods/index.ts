export { createStateInterner, type StateInterner } from './interner.ts'
export {
  connectPod,
  type PodChange,
  type PodConnection,
  type PodConnectionOptions,
  type PodPhase,
} from './pod-connection.ts'
