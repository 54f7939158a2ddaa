export type { ModelLoader } from './arrivals/load-models.ts'
export { findPromptBundle, toolClashes } from './plan/build.ts'
export { selectTools } from './plan/tool-names.ts'
export type { DynamicItems, Management, MountedBundles, Pinned, SnapshotSource } from './port.ts'
export {
  type ArrivalSource,
  type ArrivalTiming,
  Registry,
  type RegistryObserver,
  type RegistryOptions,
} from './registry.ts'
export type { ActiveItem, LoadedModel, ServedTool, Snapshot } from './snapshot.ts'
