import { randomBytes } from 'node:crypto'
import type { Problem } from '../../api/index.ts'
import type { Clock } from '../../clock.ts'
import { hasReached, isApiError, keyOfName, type ObjectKey } from '../../kube/index.ts'
import type { KubeObject, ObjectName } from '../../kube/types.ts'
import type { Log } from '../../log.ts'
import { type Dependents, type FoundObject, foundObject, secretData, type WantedBy } from '../dependents/index.ts'
import { labelsOf } from '../runtimes/owned.ts'
import { type Authority, pemOf } from './authority.ts'
import { AuthoritySource } from './authority-source.ts'
import { CertificatePlanner } from './certificate.ts'
import { issueCertificate, type KeyedCertificate } from './issue.ts'
import { LIFETIMES, type Lifetimes } from './lifetimes.ts'
import type { PodCredentials, Trust, TrustAccess, TrustClient, TrustOutcome, TrustRequest } from './port.ts'
import {
  desiredSecret,
  FIELD_MANAGER,
  isAsDesired,
  KEY_KEY,
  keySecretName,
  managedServerName,
  managementSecretName,
  planManagementSecret,
  readManagementSecret,
  SECRETS,
  type SecretPlan,
  secretBody,
} from './secret.ts'
import { chooseTokens, remember, type TokenMemory } from './tokens.ts'

export type TrustOptions = {
  readonly client: TrustClient
  readonly dependents: Pick<Dependents, 'want' | 'secret'>
  /** The operator's own, which holds the certificate authority. */
  readonly namespace: string
  readonly clock: Clock
  readonly log: Pick<Log, 'info' | 'warn'>
  /** An AgentRuntime is to be reconciled again: what it is trusted by changed. */
  readonly onChange: (runtime: ObjectName) => void
  readonly lifetimes?: Lifetimes
  /** A new token or key. */
  readonly fresh?: () => string
}

/** 256 random bits. */
const freshSecret = (): string => randomBytes(32).toString('base64url')

/** A look from time to time, whatever the plan says: timers of weeks do not fit, and clocks are set. */
const LONGEST_LOOK_MS = 12 * 60 * 60_000
const SHORTEST_LOOK_MS = 1_000

/** What is known of the management Secret of an AgentRuntime. */
type Known = {
  readonly name: ObjectName
  /** Of the last version that was read or written; undefined before there was one. */
  version: Pick<FoundObject, 'uid' | 'resourceVersion'> | undefined
  tokens: TokenMemory | undefined
  readonly certificates: CertificatePlanner
}

/** Works until the signal aborts. Nothing is read or written before the first `reconcile`. */
export function createTrust(options: TrustOptions, signal: AbortSignal): Trust {
  return new Trusted(options, signal)
}

class Trusted implements Trust {
  readonly #options: TrustOptions
  readonly #lifetimes: Lifetimes
  readonly #fresh: () => string
  readonly #signal: AbortSignal
  readonly #authority: AuthoritySource
  readonly #known = new Map<ObjectKey, Known>()

  constructor(options: TrustOptions, signal: AbortSignal) {
    const { lifetimes = LIFETIMES, fresh = freshSecret, onChange } = options
    this.#options = options
    this.#lifetimes = lifetimes
    this.#fresh = fresh
    this.#signal = signal
    const onAuthority = () => {
      for (const { name } of this.#known.values()) onChange(name)
    }
    this.#authority = new AuthoritySource({ ...options, lifetimes, onChange: onAuthority })
  }

  async reconcile(request: TrustRequest, signal: AbortSignal): Promise<TrustOutcome> {
    this.#authority.start(this.#signal)
    const { namespace = '', name } = request.runtime.metadata
    const known = this.#knownOf({ namespace, name })
    const names = { management: managementSecretName(name), key: keySecretName(name) }
    this.#options.dependents.want(wanting({ namespace, name }), { configMaps: [], secrets: Object.values(names) })
    const views = [names.management, names.key].map((each) => this.#options.dependents.secret(namespace, each))
    const { view } = this.#authority
    if (views.some(({ type }) => type === 'loading') || view.type === 'loading') return { type: 'loading' }
    const [management, key] = views.map((each) => (each.type === 'found' ? each : undefined))
    const keyProblem = request.auth === 'key' ? await this.#keepKey(request.runtime, key, signal) : undefined
    this.#learn(known, management)
    if (view.type === 'problem') return this.#problem(view.problem)
    const lookAgainMs = await this.#keepManagement(
      request,
      { known, found: management, authority: view.authority },
      signal,
    )
    return keyProblem === undefined ? { type: 'ready', lookAgainMs: within(lookAgainMs) } : this.#problem(keyProblem)
  }

  access(runtime: ObjectName): TrustAccess {
    const known = this.#known.get(keyOfName(runtime))
    const { view } = this.#authority
    if (known === undefined || view.type === 'loading') return { type: 'loading' }
    const authority = view.type === 'known' ? view.authority : view.last
    if (authority === undefined) return view.type === 'problem' ? view : { type: 'loading' }
    if (known.tokens === undefined) return view.type === 'problem' ? view : { type: 'loading' }
    return {
      type: 'known',
      ca: pemOf(authority.trusted),
      serverName: managedServerName(runtime),
      tokens: chooseTokens(known.tokens),
    }
  }

  forget(runtime: ObjectName): void {
    if (this.#known.delete(keyOfName(runtime)))
      this.#options.dependents.want(wanting(runtime), { configMaps: [], secrets: [] })
  }

  #knownOf(name: ObjectName): Known {
    const key = keyOfName(name)
    const certificates = new CertificatePlanner()
    const known = this.#known.get(key) ?? { name, version: undefined, tokens: undefined, certificates }
    this.#known.set(key, known)
    return known
  }

  #problem(problem: Problem): TrustOutcome {
    return { type: 'problem', problem, lookAgainMs: LONGEST_LOOK_MS }
  }

  /** Takes over what a Secret says, unless this process knows a newer version of it. */
  #learn(known: Known, found: FoundObject | undefined): void {
    if (found === undefined || isOlder(found, known.version)) return
    const { token, nextToken } = readManagementSecret(found).tokens
    known.version = found
    if (token !== undefined) known.tokens = remember(known.tokens, { token, nextToken })
  }

  /** A key that is there is used as it is, whoever made it. */
  async #keepKey(
    runtime: KubeObject,
    found: FoundObject | undefined,
    signal: AbortSignal,
  ): Promise<Problem | undefined> {
    const { namespace = '', name } = runtime.metadata
    const secret = keySecretName(name)
    if (found === undefined) {
      const data = { [KEY_KEY]: this.#fresh() }
      const body = secretBody({ runtime, name: secret }, { labels: labelsOf(name), data })
      try {
        await this.#options.client.create(SECRETS, body, signal)
        this.#options.log.info('a key was made', { namespace, name: secret })
      } catch (error) {
        // Somebody else has made one meanwhile.
        if (!isApiError(error, 409)) throw error
      }
      return undefined
    }
    if ((found.data.get(KEY_KEY)?.toString().trim() ?? '') !== '') return undefined
    const message = `Secret "${secret}" has no key "${KEY_KEY}", or an empty one, so pods that start refuse to: put the key of port 7777 into it, or delete the Secret and one is made`
    return { reason: 'SecretNotFound', message }
  }

  /** @returns when to look again */
  async #keepManagement(
    { runtime, pods }: Pick<TrustRequest, 'runtime' | 'pods'>,
    { known, found, authority }: Keeping,
    signal: AbortSignal,
  ): Promise<number> {
    const plan = this.#plan({ known, found, authority }, pods)
    const certificate = certificateIn(found, plan)
    // What was read is older than what this process wrote: its own write will be told.
    if (found !== undefined && isOlder(found, known.version)) return plan.lookAgainMs
    if (certificate && isAsDesired(found, desiredSecret(runtime, plan.tokens, certificate))) return plan.lookAgainMs
    return this.#writeManagement({ runtime, pods }, { known, authority }, signal)
  }

  /** Decides on what the API server has now, as another token must not be made for one that is only not seen yet. */
  async #writeManagement(
    { runtime, pods }: Pick<TrustRequest, 'runtime' | 'pods'>,
    { known, authority }: Pick<Keeping, 'known' | 'authority'>,
    signal: AbortSignal,
  ): Promise<number> {
    const { client, clock, log } = this.#options
    const secret = { namespace: runtime.metadata.namespace, name: managementSecretName(runtime.metadata.name) }
    const object = await client.get(SECRETS, secret, signal)
    const found = object && foundObject(object, secretData(object))
    this.#learn(known, found)
    const plan = this.#plan({ known, found, authority }, pods)
    const certificate =
      certificateIn(found, plan) ??
      (await issueCertificate(managedServerName(known.name), authority.signer, {
        now: clock.now(),
        lifetimes: this.#lifetimes,
      }))
    const desired = desiredSecret(runtime, plan.tokens, certificate)
    if (isAsDesired(found, desired)) return plan.lookAgainMs
    const body = secretBody({ runtime, name: secret.name }, desired)
    const resourceVersion = object?.metadata.resourceVersion
    const metadata = { ...body.metadata, ...(resourceVersion !== undefined && { resourceVersion }) }
    const patch = { type: 'apply', body: { ...body, metadata }, fieldManager: FIELD_MANAGER, force: true } as const
    const written = await client.patch(SECRETS, secret, patch, signal)
    log.info('a management Secret was written', { ...secret, ...changes(found, plan) })
    this.#learn(known, foundObject(written, secretData(written)))
    return plan.lookAgainMs
  }

  #plan({ known, found, authority }: Keeping, pods: readonly PodCredentials[]): SecretPlan {
    return planManagementSecret({
      found: readManagementSecret(found),
      known: known.tokens,
      pods,
      authority,
      serverName: managedServerName(known.name),
      certificates: known.certificates,
      now: this.#options.clock.now(),
      lifetimes: this.#lifetimes,
      fresh: this.#fresh,
    })
  }
}

type Keeping = { readonly known: Known; readonly found: FoundObject | undefined; readonly authority: Authority }

/** What trust wants of a namespace is apart from what the AgentRuntime itself wants. */
const wanting = ({ namespace, name }: ObjectName): WantedBy => ({ namespace, name, part: 'trust' })

const within = (ms: number): number => Math.min(Math.max(ms, SHORTEST_LOOK_MS), LONGEST_LOOK_MS)

const isOlder = (found: FoundObject, than: Known['version']): boolean =>
  than !== undefined && found.uid === than.uid && !hasReached(found.resourceVersion, than.resourceVersion)

/** The certificate that is there, when it may stay. */
function certificateIn(found: FoundObject | undefined, plan: SecretPlan): KeyedCertificate | undefined {
  if (plan.certificate.type === 'issue') return undefined
  const { cert, key } = readManagementSecret(found).certificate
  return cert === undefined || key === undefined ? undefined : { cert: `${cert}\n`, key: `${key}\n` }
}

/** For the log: what of it is new, and nothing that it holds. */
function changes(found: FoundObject | undefined, { tokens, certificate }: SecretPlan): object {
  const before = readManagementSecret(found).tokens
  return {
    token: before.token === tokens.token ? 'kept' : before.nextToken === tokens.token ? 'replaced' : 'new',
    nextToken: tokens.nextToken === undefined ? 'none' : before.nextToken === tokens.nextToken ? 'kept' : 'new',
    certificate: certificate.type === 'keep' ? 'kept' : certificate.because,
  }
}
