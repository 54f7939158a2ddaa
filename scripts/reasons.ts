// The table of reasons in docs/operator.md: what each says in a status, and what to do about it.
import { REASONS, type Reason, type StateReason } from '../src/api/index.ts'

const STATES: Readonly<Record<StateReason, string>> = {
  Accepted: 'The spec is valid.',
  Served: 'Every pod that counts serves what is declared; of `Available`: at least one pod serves some version of it.',
  ScaledToZero: '`spec.replicas` of the AgentRuntime is 0: nothing is to serve, and nothing does.',
  Syncing: 'Some pods have not acknowledged it yet. If it stays: `pods[]` of the AgentRuntime tells which.',
  NotServed: 'Of `Available`: no pod serves any version of it.',
}

/** Undefined: shows in no status, but in answers of the API, in runs or in dev mode. */
const TOLD: Readonly<Record<Reason, string | undefined>> = {
  InvalidYAML: undefined,
  InvalidSpec: 'A value that the CRD lets pass is not valid. Correct the field that the message names.',
  UnknownField: 'The CRDs are newer than the operator. Update the operator, or take the field out.',
  UnknownKind: undefined,
  DuplicateName: undefined,
  ReferenceCycle: 'Agents or teams call each other in a circle. Take one of the references out.',
  StepCycle: 'Steps of a workflow wait for each other. Take one of the `needs` out.',
  StepNotFound: 'A step needs, or speaks of, a step that the workflow has not. Correct the name.',
  InvalidExpression: 'CEL text does not compile. Correct the expression.',
  RuntimeNotServed: undefined,
  RuntimeNotFound: '`spec.runtime` names no AgentRuntime of the namespace. Create it, or name another.',
  ModelNotFound: 'The AgentRuntime has no such model. Add it to `spec.models`, or name another.',
  SecretNotFound:
    'A Secret, or the key in it, is missing: of a model, of `spec.tools.secrets`, or of `spec.adopt`. Create it.',
  ToolNotFound: 'No bundle holds a tool of that name. Add its file to a ConfigMap, or take the name out.',
  PromptNotFound: 'No bundle holds that prompt file. Add it to a ConfigMap, or correct `spec.prompt`.',
  AgentNotFound: 'The AgentRuntime serves no such agent. Create it, with the same `spec.runtime`.',
  WorkflowNotFound: 'The AgentRuntime serves no such workflow. Create it, with the same `spec.runtime`.',
  TeamNotFound: 'The AgentRuntime serves no such team. Create it, with the same `spec.runtime`.',
  ConfigMapNotFound: 'The ConfigMap of a bundle is missing for 30 s. Create it, or take the bundle out.',
  StillReferenced: 'What is to go is still used by something that serves. It goes as soon as nothing uses it.',
  DirectoryNotFound: undefined,
  FileTooLarge: 'A file is over 1 MiB. Make it smaller.',
  BundleTooLarge: 'A bundle is over 8 MiB or 1,000 files. Split it.',
  FileNotText: 'A file is not UTF-8 text. Correct it.',
  InvalidFileName: 'A key of the ConfigMap cannot be the name of a file. Rename it.',
  InvalidSyntax: 'A tool does not parse. Correct it at the line and column that are told.',
  ImportNotFound: 'A tool imports a file that the bundle has not. Add it, or correct the import.',
  PackageNotAllowed: 'A tool imports a package that `spec.tools.packages` does not list. Add it there.',
  ToolLoadFailed: "A tool's top-level code threw. Correct it at the place that is told.",
  ToolLoadTimeout: "A tool's top-level code did not come to an end. Move what takes long into `execute`.",
  InvalidTool: 'A tool file has no proper default export. See [resources.md](resources.md#files).',
  DuplicateTool: 'Two files of a bundle give one tool name. Rename one.',
  InvalidExtension: 'An extension file has no proper default export. See [tools.md](tools.md#an-extension).',
  SelfTestFailed: "A tool's `selfTest` threw or took longer than 5 s. Correct what it found.",
  ToolHostUnavailable:
    'No process for tool code could be started. The message says what ran out: processes (the pids limit of the container), open files or memory. The version is tried again by itself, after a second and then after longer and longer, at most a minute; what served goes on serving.',
  RevertedByProbation:
    'Calls of a new version of a bundle failed, so the pods went back to the last good one. Correct what the message names; any change of the files, also in a comment, is tried anew. See [hot-reload.md](hot-reload.md#probation).',
  IncludeNotFound: 'A prompt includes a prompt that the bundle has not. Add it, or correct the include.',
  IncludeCycle: 'Prompts include each other in a circle. Take one of the includes out.',
  PromptTooLarge: 'A prompt is too large with all its includes. Make it smaller.',
  ToolsNotAllowed:
    'A ConfigMap that `bundleSelector` found holds tools or extensions. Set `allowTools`, or name it in `bundles`.',
  ModelLoadFailed: 'A model cannot be made of its settings. Correct what the message names.',
  AddressNotAllowed:
    'A URL names an address that may not be called. Add the host to `spec.network.allow`, or name another: link-local and metadata addresses are never called.',
  PodsNotFound: '`spec.adopt.selector` selects no pod that has an address. Start pods, or correct the labels.',
  PodsNotReady: 'There are pods, and none is Ready and has been given everything. Look at the pods.',
  PodsClaimed: 'An older AgentRuntime has every pod that this one selects. Select others, or delete one of the two.',
  NameTaken: 'An object that the AgentRuntime needs is there already and not its own. Delete or rename it.',
  ObjectRefused:
    'The API server refuses an object of the AgentRuntime: a right, a quota or a policy. The message says which.',
  PodsNotCreated: 'The cluster does not create the pods, most often because of a quota. The message says why.',
  PodsUnschedulable: 'No node takes a pod. Correct `spec.resources` or `spec.pod`, or add nodes.',
  ImagePullFailed: 'The image of a pod cannot be pulled. Correct `spec.image` or `spec.pod.imagePullSecrets`.',
  PodsCrashing: 'The container of a pod ends again and again. The message says how; its log says more.',
  AuthorityUnusable:
    'The Secret `midflight-ca` of the operator’s namespace cannot be used. The message says why, and what to do.',
  RolloutStuck: 'New pods do not become Ready in time; the old ones serve on. The message names one.',
  BootSetTooLarge:
    'What pods start from while no operator runs is over 8 MB. Make bundles smaller, or spread agents over several AgentRuntimes.',
  BootSetNotWritten:
    'The API server refuses the Secrets that pods start from while no operator runs. Grant the right, or raise the quota.',
  Unauthorized: 'A pod refuses the token. Bring the Secret and the `--management-token-file` of the pod together.',
  ProtocolMismatch: 'Operator and runtime speak no common version of the protocol. Update the older one.',
  FenceAhead:
    'A newer operator wrote to the pod or to its boot set, or etcd was restored from a backup: [below](#one-writer).',
  Pinned: 'A pin in the pod holds the bundle at another version. It goes on when the pin is taken out.',
  RuntimeUnreachable: 'A pod does not answer. The message says what was tried; `failures[]` names the pods.',
  StaleFence: 'A newer operator writes to the pods: [below](#one-writer).',
  WrongTarget: 'The process in the pod was replaced between two calls. The operator tries again by itself.',
  Claimed: 'The pod belongs to an AgentRuntime of another namespace or cluster. Delete that, or restart the pod.',
  SnapshotMoved: 'Somebody else changed the pod between two calls. The operator tries again by itself.',
  OwnedByOther: 'In the pod, something that is no operator owns an item of that name. Rename one of the two.',
  Superseded: 'A newer version came in between. The operator tries again by itself.',
  InternalError: 'The runtime failed in a way it should not. Its log says more.',
  RevisionMismatch: 'Operator and runtime read the definition in two ways. Bring both to one version.',
  InvalidArguments: undefined,
  ToolFailed: undefined,
  ToolTimeout: undefined,
  InvalidToolResult: undefined,
  ToolResultTooLarge: undefined,
  ExtensionFailed: undefined,
  ToolHostLost: undefined,
  RefusedByExtension: undefined,
  ModelFailed: undefined,
  MaxStepsExceeded: undefined,
  StepFailed: undefined,
  RunTimeout: undefined,
  RunCancelled: undefined,
}

/** Which condition says besides `Ready` that it is False. */
function besideOf(reason: Reason): string {
  const { condition, retry } = REASONS[reason]
  return `${condition === 'Accepted' ? 'not Accepted, ' : ''}${retry ? 'Reconciling' : 'Stalled'}`
}

const rowsOf = (told: Readonly<Record<Reason, string | undefined>>): string[] =>
  (Object.keys(REASONS) as Reason[]).flatMap((reason) =>
    told[reason] === undefined ? [] : [`| \`${reason}\` | ${besideOf(reason)} | ${told[reason]} |`],
  )

/** For docs/operator.md. */
export const REASON_PARTS: Readonly<Record<string, string>> = {
  reasons: [
    '| reason | beside it | what it means, and what to do |',
    '|---|---|---|',
    ...Object.entries(STATES).map(
      ([reason, told]) => `| \`${reason}\` | ${reason === 'Syncing' ? 'Reconciling' : ''} | ${told} |`,
    ),
    ...rowsOf(TOLD),
  ].join('\n'),
}
