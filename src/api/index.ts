export {
  BOOT_PART_BYTES,
  BOOT_SET_BYTES,
  BOOT_SLOTS,
  BOOT_TEXT_BYTES,
  type BootSet,
  type BootStamp,
  bootPartFile,
  bootSetKey,
  bootSetText,
  cutBootSet,
  type DecodedBootSet,
  decodeBootSet,
  encodeBootSet,
  type FoundBootSet,
} from './boot-set.ts'
export { type BundleFiles, bundleHash, bundleOf, pushOf } from './bundle.ts'
export { crdOf } from './crd/crd.ts'
export {
  type Definition,
  type DefinitionKind,
  type DefinitionOf,
  definition,
  definitionRevision,
  type ItemId,
  itemIdOf,
  RUNNABLE,
  type RunnableKind,
  type RunnablePlural,
  SETTINGS_ID,
} from './definition.ts'
export {
  checkExpression,
  checkTemplate,
  type ExpressionScope,
  evaluate,
  fillTemplate,
  type Json,
  regExpFault,
} from './expression.ts'
export { type AgentSpec, agentSpec, type PromptReference } from './kinds/agent.ts'
export {
  type AdoptSpec,
  type AgentRuntimeSpec,
  agentRuntimeSpec,
  type BundleSelector,
  DEFAULT_PROBATION,
  DEFAULT_TOOL_MEMORY_MIB,
  type ModelSpec,
  type ProbationSpec,
  type ScriptEntry,
  type SecretKeyRef,
  settingsSpec,
  type ToolSecret,
} from './kinds/agent-runtime.ts'
export { API_VERSION, MAX_LIST, type ModelParameters, problem } from './kinds/common.ts'
export { DRAIN_SECONDS, MANAGED_FIELDS, type NetworkSpec } from './kinds/managed-pods.ts'
export {
  isKind,
  KINDS,
  type Kind,
  type Resource,
  resourceSchema,
  type SpecOf,
} from './kinds/resource.ts'
export { type TeamMember, type TeamSpec, teamSpec } from './kinds/team.ts'
export { type WorkflowSpec, type WorkflowStep, workflowSpec } from './kinds/workflow.ts'
export {
  type ApplyRequest,
  type ApplyResponse,
  applyRequest,
  applyResponse,
  type BundlePush,
  type BundleState,
  type Credentials,
  credentials,
  END_CAUSES,
  type EndCause,
  eventId,
  type HeardEvent,
  heardEvent,
  type Incident,
  type ItemResult,
  type ItemState,
  MAX_INCIDENT_MESSAGE,
  type Outcome,
  type Owner,
  PROTOCOL,
  type RuntimeEvent,
  type RuntimeState,
  runtimeEvent,
  runtimeState,
  secretId,
  tokenIdOf,
} from './management.ts'
export { CALL_REFUSALS, managementOpenApi } from './openapi.ts'
export {
  formatPath,
  type Problem,
  ProblemError,
  problemOf,
  problemOfIssues,
  problemsOfIssues,
  REASONS,
  type Reason,
  STATE_REASONS,
  type StateReason,
} from './reason.ts'
export {
  type HotReloadStats,
  type HotReloadStatus,
  RELOAD_PARTS,
  type ReloadGraph,
  type ReloadRecord,
  reloadGraph,
  reloadList,
  reloadQuery,
  reloadRecord,
  reloadsOpenApi,
  retryAnswer,
  retryBody,
  rollbackAnswer,
  rollbackBody,
} from './reloads.ts'
export { digestOf, hashJson, hashText, revisionOf } from './revision.ts'
export { EXTENSION_POINTS, type ExtensionPoint, extensionPointOf, type FileRole, type Role, roleOf } from './roles.ts'
export {
  type BundleStatus,
  CONDITION_TYPES,
  type Condition,
  type Failure,
  type ItemStatus,
  itemStatus,
  MAX_FAILURES,
  MAX_STATUS_BUNDLES,
  MAX_STATUS_MESSAGE,
  MAX_STATUS_PODS,
  type PodStatus,
  type RuntimeStatus,
  runtimeStatus,
  SHORT_REVISION,
  type StatusConditionType,
} from './status.ts'
