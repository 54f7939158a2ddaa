import { KINDS } from '../api/index.ts'

/** Where a right is needed: in every namespace that is watched, or only where the Lease is. */
export type RightScope = 'watched' | 'lease'

/** Something that the operator asks of the API server. */
export type Right = {
  /** Empty for the core group. */
  readonly group: string
  /** Plurals, with `/status` for the subresource. */
  readonly resources: readonly string[]
  /** Of the only objects that it is for; absent for all. */
  readonly names?: readonly string[]
  readonly verbs: readonly RightVerb[]
  readonly scope: RightScope
  /** A sentence for whoever grants it. */
  readonly because: string
}

export type RightVerb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete'

const GROUP = 'midflight.dev'
const plurals: readonly string[] = Object.values(KINDS).map(({ plural }) => plural)

/** Applying what is not there yet takes `create` too. */
const CHILD_VERBS: readonly RightVerb[] = ['get', 'list', 'watch', 'create', 'patch', 'delete']
const CHILD_BECAUSE =
  'what an AgentRuntime without `adopt` is made of; `get` finds what is somebody else’s and must not be taken over'

/** Everything that the operator asks of the API server, and nothing else. */
export const RIGHTS: readonly Right[] = [
  {
    group: GROUP,
    resources: plurals,
    verbs: ['list', 'watch', 'patch'],
    scope: 'watched',
    because: 'what is declared; `patch` sets and removes the finalizer, and nothing of `spec`',
  },
  {
    group: GROUP,
    resources: plurals.map((plural) => `${plural}/status`),
    verbs: ['patch'],
    scope: 'watched',
    because: 'what the pods acknowledged',
  },
  {
    group: GROUP,
    resources: [`${KINDS.AgentRuntime.plural}/finalizers`],
    verbs: ['update'],
    scope: 'watched',
    because:
      'objects that go with an AgentRuntime say so (`blockOwnerDeletion`), for which OpenShift and others ask for this',
  },
  {
    group: '',
    resources: ['configmaps'],
    verbs: ['get', 'list', 'watch'],
    scope: 'watched',
    because: 'files of `bundles` and `bundleSelector`: all are watched as metadata, those that are named are read',
  },
  {
    group: '',
    resources: ['secrets'],
    verbs: ['get', 'list', 'watch'],
    scope: 'watched',
    because: 'keys of models, tokens and CAs of pods: all are watched as metadata, those that are named are read',
  },
  {
    group: '',
    resources: ['secrets'],
    verbs: ['create', 'patch', 'delete'],
    scope: 'watched',
    because:
      'of pods that the operator runs: key, token and certificate (`NAME-runtime-key`, `NAME-runtime-management`), and what they start from while no operator runs (`midflight-NAME-boot-N`; `delete` takes away what a newer one replaces)',
  },
  {
    group: '',
    resources: ['pods'],
    verbs: ['list', 'watch'],
    scope: 'watched',
    because: 'pods of AgentRuntimes, their own and those that `adopt.selector` selects: addresses and readiness',
  },
  ...[
    { group: '', resources: ['serviceaccounts', 'services'] },
    { group: 'apps', resources: ['deployments'] },
    { group: 'networking.k8s.io', resources: ['networkpolicies'] },
    { group: 'policy', resources: ['poddisruptionbudgets'] },
  ].map((what): Right => ({ ...what, verbs: CHILD_VERBS, scope: 'watched', because: CHILD_BECAUSE })),
  {
    group: 'events.k8s.io',
    resources: ['events'],
    verbs: ['create', 'patch'],
    scope: 'watched',
    because: 'tells what happened to an object; `patch` counts repetitions',
  },
  {
    group: 'coordination.k8s.io',
    resources: ['leases'],
    verbs: ['get', 'create', 'patch'],
    scope: 'lease',
    because: 'leader election and the fence',
  },
  {
    group: '',
    resources: ['secrets'],
    names: ['midflight-ca'],
    verbs: ['get', 'patch'],
    scope: 'lease',
    because: 'the certificate authority that signs the certificates of the pods that the operator runs',
  },
  {
    group: '',
    resources: ['secrets'],
    verbs: ['create'],
    scope: 'lease',
    because: 'makes that Secret; Kubernetes cannot grant `create` for one name',
  },
]

/** A ClusterRole for people. Built-in roles that it is aggregated to have its rights too. */
export type PeopleRole = {
  readonly name: string
  readonly aggregateTo: readonly ('edit' | 'admin')[]
  readonly rules: readonly Pick<Right, 'group' | 'resources' | 'verbs'>[]
}

const READ: readonly RightVerb[] = ['get', 'list', 'watch']
const WRITE: readonly RightVerb[] = ['create', 'update', 'patch', 'delete']
const behaviour = plurals.filter((plural) => plural !== KINDS.AgentRuntime.plural)
const statuses = plurals.map((plural) => `${plural}/status`)

/**
 * An AgentRuntime names Secrets and the pods that are given their values, so whoever may write one can read every Secret
 * of the namespace: that is for `midflight-admin`, which no built-in role below `admin` includes.
 */
export const PEOPLE_ROLES: readonly PeopleRole[] = [
  {
    name: 'midflight-editor',
    aggregateTo: ['edit', 'admin'],
    rules: [
      { group: GROUP, resources: behaviour, verbs: [...READ, ...WRITE] },
      { group: GROUP, resources: [KINDS.AgentRuntime.plural, ...statuses], verbs: READ },
    ],
  },
  {
    name: 'midflight-admin',
    aggregateTo: ['admin'],
    rules: [
      { group: GROUP, resources: plurals, verbs: [...READ, ...WRITE] },
      { group: GROUP, resources: statuses, verbs: READ },
    ],
  },
]
