export { createClient, type KubeClient, type PatchBody, type WatchClient } from './client.ts'
export {
  type Condition,
  type ConditionUpdate,
  dateCondition,
  type StatusApply,
  statusApply,
} from './conditions.ts'
export { type ControllerOptions, type Outcome, ReconcileTimeout, runController, settle } from './controller.ts'
export { createExpectations, type Expectations, type ExpectationsOptions } from './expectations.ts'
export {
  type FinalizerChange,
  type FinalizerClient,
  type FinalizerResult,
  writeFinalizer,
} from './finalizer.ts'
export type { LeaseClient, LeaseName } from './lease/calls.ts'
export {
  type ElectionOptions,
  type ElectionOutcome,
  LEASE_TIMINGS,
  type Leadership,
  type LeaseTimings,
  runElected,
} from './lease/elect.ts'
export { LeaseLost, type LossReason } from './lease/lost.ts'
export { type Stamp, type StampOptions, stampLease } from './lease/stamp.ts'
export { type ControllerMetrics, type ControllerRecorder, createControllerMetrics } from './metrics/controller.ts'
export { createLeaderMetrics, type LeaderMetrics, type LeaderRecorder } from './metrics/leader.ts'
export { createQueueMetrics, type QueueMetrics, type QueueRecorder } from './metrics/queue.ts'
export { createRestMetrics, type RestMetrics } from './metrics/rest.ts'
export { createWatchMetrics, type WatchMetrics } from './metrics/watch.ts'
export { type Backoff, type BackoffOptions, exponentialBackoff } from './queue/backoff.ts'
export {
  type AddOptions,
  createWorkQueue,
  PRIORITY,
  type Priority,
  type WorkItem,
  type WorkQueue,
  type WorkQueueOptions,
} from './queue/work-queue.ts'
export type { Occurrence, Reporter } from './recorder/event.ts'
export { createRecorder, type EventClient, type EventRecorder, type RecorderOptions } from './recorder/recorder.ts'
export { hasReached } from './resource-version.ts'
export {
  createStore,
  type ObjectCache,
  type Store,
  type StoreEvent,
  type StoreOptions,
} from './store.ts'
export { timestamp } from './time.ts'
export { type ClusterConfig, inClusterConfig, kubeconfigConfig, SERVICE_ACCOUNT_DIRECTORY } from './transport/config.ts'
export { createPortForwarder, type PodPort, type PortForwarder } from './transport/port-forward.ts'
export { createTransport, type Transport } from './transport/transport.ts'
export {
  ApiError,
  isApiError,
  type KubeObject,
  keyOf,
  keyOfName,
  nameOfKey,
  type ObjectKey,
  type ObjectMeta,
  type ObjectName,
  type ObjectSink,
  type ResourceType,
  type WatchEvent,
} from './types.ts'
export type { State as WatchState } from './watch/state.ts'
export { type WatchObjectsOptions, watchObjects } from './watch/watcher.ts'
