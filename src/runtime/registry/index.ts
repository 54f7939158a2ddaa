export type { ModelLoader } from './arrivals/load-models.ts'
export type {
  ArrivalSource,
  ArrivalTiming,
  BundleChange,
  Failed,
  Noticed,
  RegistryObserver,
  Settlement,
} from './observer.ts'
export { isReverted } from './observer.ts'
export { findPromptBundle, toolClashes } from './plan/build.ts'
export { selectTools } from './plan/tool-names.ts'
export type {
  BundleControl,
  DynamicItems,
  Management,
  MountedBundles,
  Pinned,
  RegistryOptions,
  Rollback,
  SnapshotSource,
} from './port.ts'
export { Registry } from './registry.ts'
export type { ActiveItem, LoadedModel, ServedTool, Snapshot } from './snapshot.ts'
