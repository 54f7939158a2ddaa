import type { z } from 'zod'

/** Condition types that a reason can show in. */
export type ConditionType = 'Accepted' | 'Ready'

type Row = {
  /** Where it shows in status. */
  condition: ConditionType
  /** Whether time or another object's change can help, so that the item waits rather than stalls. */
  retry: boolean
  /** HTTP status of an API answer that carries the reason. */
  status: number
}

/**
 * Wire string → where it shows, whether to retry, which HTTP status. The one table that conditions, retries,
 * log lines and API answers are made from.
 */
export const REASONS = {
  // The declaration itself.
  InvalidYAML: { condition: 'Accepted', retry: false, status: 422 },
  InvalidSpec: { condition: 'Accepted', retry: false, status: 422 },
  UnknownField: { condition: 'Accepted', retry: false, status: 422 },
  UnknownKind: { condition: 'Accepted', retry: false, status: 422 },
  DuplicateName: { condition: 'Accepted', retry: false, status: 409 },
  ReferenceCycle: { condition: 'Accepted', retry: false, status: 422 },
  StepCycle: { condition: 'Accepted', retry: false, status: 422 },
  StepNotFound: { condition: 'Accepted', retry: false, status: 422 },
  InvalidExpression: { condition: 'Accepted', retry: false, status: 422 },
  RuntimeNotServed: { condition: 'Accepted', retry: false, status: 422 },
  // References that may yet appear: the item waits, what served goes on serving.
  RuntimeNotFound: { condition: 'Ready', retry: true, status: 422 },
  ModelNotFound: { condition: 'Ready', retry: true, status: 422 },
  SecretNotFound: { condition: 'Ready', retry: true, status: 422 },
  ToolNotFound: { condition: 'Ready', retry: true, status: 422 },
  PromptNotFound: { condition: 'Ready', retry: true, status: 422 },
  AgentNotFound: { condition: 'Ready', retry: true, status: 422 },
  WorkflowNotFound: { condition: 'Ready', retry: true, status: 422 },
  TeamNotFound: { condition: 'Ready', retry: true, status: 422 },
  ConfigMapNotFound: { condition: 'Ready', retry: true, status: 422 },
  StillReferenced: { condition: 'Ready', retry: true, status: 409 },
  // Files of a bundle.
  DirectoryNotFound: { condition: 'Ready', retry: true, status: 422 },
  FileTooLarge: { condition: 'Ready', retry: false, status: 422 },
  BundleTooLarge: { condition: 'Ready', retry: false, status: 422 },
  FileNotText: { condition: 'Ready', retry: false, status: 422 },
  InvalidFileName: { condition: 'Ready', retry: false, status: 422 },
  InvalidSyntax: { condition: 'Ready', retry: false, status: 422 },
  ImportNotFound: { condition: 'Ready', retry: false, status: 422 },
  PackageNotAllowed: { condition: 'Ready', retry: false, status: 422 },
  ToolLoadFailed: { condition: 'Ready', retry: false, status: 422 },
  ToolLoadTimeout: { condition: 'Ready', retry: false, status: 422 },
  InvalidTool: { condition: 'Ready', retry: false, status: 422 },
  DuplicateTool: { condition: 'Ready', retry: false, status: 422 },
  InvalidExtension: { condition: 'Ready', retry: false, status: 422 },
  SelfTestFailed: { condition: 'Ready', retry: false, status: 422 },
  ToolHostUnavailable: { condition: 'Ready', retry: true, status: 503 },
  RevertedByProbation: { condition: 'Ready', retry: false, status: 422 },
  IncludeNotFound: { condition: 'Ready', retry: false, status: 422 },
  IncludeCycle: { condition: 'Ready', retry: false, status: 422 },
  PromptTooLarge: { condition: 'Ready', retry: false, status: 422 },
  ToolsNotAllowed: { condition: 'Ready', retry: false, status: 422 },
  ModelLoadFailed: { condition: 'Ready', retry: false, status: 422 },
  AddressNotAllowed: { condition: 'Ready', retry: false, status: 422 },
  // The pods of a runtime.
  PodsNotFound: { condition: 'Ready', retry: true, status: 502 },
  PodsNotReady: { condition: 'Ready', retry: true, status: 502 },
  PodsClaimed: { condition: 'Ready', retry: true, status: 409 },
  // The pods that the operator runs, and what they are made from.
  NameTaken: { condition: 'Ready', retry: true, status: 409 },
  ObjectRefused: { condition: 'Ready', retry: true, status: 403 },
  PodsNotCreated: { condition: 'Ready', retry: true, status: 502 },
  PodsUnschedulable: { condition: 'Ready', retry: true, status: 502 },
  ImagePullFailed: { condition: 'Ready', retry: true, status: 502 },
  PodsCrashing: { condition: 'Ready', retry: true, status: 502 },
  AuthorityUnusable: { condition: 'Ready', retry: true, status: 502 },
  RolloutStuck: { condition: 'Ready', retry: true, status: 502 },
  // What pods start from while no operator runs.
  BootSetTooLarge: { condition: 'Ready', retry: false, status: 422 },
  BootSetNotWritten: { condition: 'Ready', retry: false, status: 502 },
  // The management protocol.
  Unauthorized: { condition: 'Ready', retry: true, status: 401 },
  ProtocolMismatch: { condition: 'Ready', retry: true, status: 502 },
  FenceAhead: { condition: 'Ready', retry: true, status: 409 },
  Pinned: { condition: 'Ready', retry: true, status: 409 },
  RuntimeUnreachable: { condition: 'Ready', retry: true, status: 502 },
  StaleFence: { condition: 'Ready', retry: true, status: 409 },
  WrongTarget: { condition: 'Ready', retry: true, status: 409 },
  Claimed: { condition: 'Ready', retry: true, status: 409 },
  SnapshotMoved: { condition: 'Ready', retry: true, status: 412 },
  OwnedByOther: { condition: 'Ready', retry: false, status: 409 },
  Superseded: { condition: 'Ready', retry: true, status: 409 },
  InternalError: { condition: 'Ready', retry: true, status: 500 },
  RevisionMismatch: { condition: 'Ready', retry: false, status: 422 },
  // Runs and calls.
  InvalidArguments: { condition: 'Ready', retry: false, status: 422 },
  ToolFailed: { condition: 'Ready', retry: false, status: 502 },
  ToolTimeout: { condition: 'Ready', retry: false, status: 504 },
  InvalidToolResult: { condition: 'Ready', retry: false, status: 502 },
  ToolResultTooLarge: { condition: 'Ready', retry: false, status: 502 },
  ExtensionFailed: { condition: 'Ready', retry: false, status: 502 },
  ToolHostLost: { condition: 'Ready', retry: true, status: 502 },
  RefusedByExtension: { condition: 'Ready', retry: false, status: 403 },
  ModelFailed: { condition: 'Ready', retry: true, status: 502 },
  MaxStepsExceeded: { condition: 'Ready', retry: false, status: 422 },
  StepFailed: { condition: 'Ready', retry: false, status: 502 },
  RunTimeout: { condition: 'Ready', retry: false, status: 504 },
  RunCancelled: { condition: 'Ready', retry: false, status: 499 },
} as const satisfies Record<string, Row>
export type Reason = keyof typeof REASONS

/** Reasons of conditions that tell a state and no problem. */
export const STATE_REASONS = ['Accepted', 'Served', 'ScaledToZero', 'Syncing', 'NotServed'] as const
export type StateReason = (typeof STATE_REASONS)[number]

/**
 * What is wrong, and where. `message` names the field and the fix and never holds a secret; `path` points into the
 * resource (`spec.tools[0]`), `file` into a bundle or a manifest; `line` and `column` count from 1.
 */
export type Problem = {
  reason: Reason
  message: string
  path?: string | undefined
  file?: string | undefined
  line?: number | undefined
  column?: number | undefined
}

/** A problem as an exception, for the places where no result can be returned. */
export class ProblemError extends Error {
  readonly problem: Problem

  constructor(details: Problem, options?: ErrorOptions) {
    super(details.message, options)
    this.name = 'ProblemError'
    this.problem = details
  }
}

/** The problem that an exception carries, or `fallback` with the exception's own message. */
export function problemOf(error: unknown, fallback: Reason): Problem {
  if (error instanceof ProblemError) return error.problem
  return { reason: fallback, message: error instanceof Error ? error.message : String(error) }
}

/** `['spec', 'tools', 0]` → `spec.tools[0]`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`))
    .join('')
}

/** The first issue of a zod error as a problem. */
export function problemOfIssues(error: z.ZodError): Problem {
  return problemsOfIssues(error)[0] ?? { reason: 'InvalidSpec', message: 'is not valid' }
}

/** Most problems that are told of one object. */
const MAX_PROBLEMS = 10

/** The issues of a zod error as problems; an unknown field is told apart from a bad value. */
export const problemsOfIssues = (error: z.ZodError): Problem[] =>
  error.issues.slice(0, MAX_PROBLEMS).map(problemOfIssue)

function problemOfIssue(issue: z.core.$ZodIssue): Problem {
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? ''
    const path = formatPath([...issue.path, key])
    return { reason: 'UnknownField', message: `unknown field ${path}`, path }
  }
  const path = formatPath(issue.path)
  const message = describeIssue(issue)
  return { reason: 'InvalidSpec', message: path === '' ? message : `${path}: ${message}`, path }
}

/** JSON types in the words of somebody who writes YAML. */
const TYPE_WORDS: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'an object',
  record: 'an object',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
}

function describeIssue({ message }: z.core.$ZodIssue): string {
  const [, expected = '', received = ''] = /^Invalid input: expected (\w+), received (\w+)$/.exec(message) ?? []
  const wanted = TYPE_WORDS[expected]
  if (wanted === undefined) return message
  if (received === 'undefined') return 'is required'
  if (received === 'null') return `is empty; it must be ${wanted}`
  return `must be ${wanted}, not ${TYPE_WORDS[received] ?? received}`
}
