import type { X509Certificate } from 'node:crypto'
import type { Problem } from '../../api/index.ts'
import { type Clock, sleep } from '../../clock.ts'
import { exponentialBackoff, isApiError } from '../../kube/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import type { Log } from '../../log.ts'
import { secretData } from '../dependents/index.ts'
import { MANAGED_BY, MANAGED_BY_LABEL } from '../runtimes/owned.ts'
import { type Authority, CA_KEYS, pemOf, planAuthority, readAuthority } from './authority.ts'
import { createAuthority } from './issue.ts'
import type { Lifetimes } from './lifetimes.ts'
import type { TrustClient } from './port.ts'
import { encoded, FIELD_MANAGER, SECRETS } from './secret.ts'

export const CA_SECRET = 'midflight-ca'

/** The certificate authority as far as it is known. */
export type AuthorityView =
  | { readonly type: 'loading' }
  | { readonly type: 'known'; readonly authority: Authority }
  /** `last`: the one before, which is trusted on but signs no more. */
  | { readonly type: 'problem'; readonly problem: Problem; readonly last: Authority | undefined }

export type AuthoritySourceOptions = {
  readonly client: TrustClient
  /** The operator's own. */
  readonly namespace: string
  readonly clock: Clock
  readonly log: Pick<Log, 'info' | 'warn'>
  readonly lifetimes: Lifetimes
  /** The view is another one. */
  readonly onChange: () => void
}

/** Between two looks at the Secret: people change it once in years. */
const LOOK_MS = 60_000
/** When somebody has been told to mend it. */
const MENDED_MS = 10_000
const RETRY = { baseMs: 500, maxMs: 30_000, jitter: 0.2, random: Math.random }

/**
 * Keeps the certificate authority of the installation: reads its Secret, makes it where there is none, and renews it
 * well before its end. A Secret that is broken, or was made by somebody else, is told and never overwritten.
 */
export class AuthoritySource {
  view: AuthorityView = { type: 'loading' }
  readonly #options: AuthoritySourceOptions
  #isRunning = false

  constructor(options: AuthoritySourceOptions) {
    this.#options = options
  }

  /** Looks at the Secret from now on until the signal aborts; again is once. */
  start(signal: AbortSignal): void {
    if (this.#isRunning) return
    this.#isRunning = true
    void this.#run(signal)
  }

  async #run(signal: AbortSignal): Promise<void> {
    const backoff = exponentialBackoff(RETRY)
    for (let failures = 0; ; ) {
      const before = this.view
      const lookMs = await this.#look(signal)
      if (signal.aborted) return
      failures = lookMs === undefined ? failures + 1 : 0
      const pauseMs = lookMs ?? backoff(failures - 1)
      if (isOther(before, this.view)) this.#options.onChange()
      await sleep(this.#options.clock, pauseMs, signal).catch(ignore)
    }
  }

  /** @returns when to look again; undefined when it failed */
  async #look(signal: AbortSignal): Promise<number | undefined> {
    try {
      const { client, namespace } = this.#options
      const object = await client.get(SECRETS, { namespace, name: CA_SECRET }, signal)
      return object === undefined ? await this.#make(signal) : await this.#take(object, signal)
    } catch (error) {
      if (!signal.aborted) this.#failed(error)
      return undefined
    }
  }

  /** What was trusted before is trusted on: pods may still serve certificates of it. */
  async #make(signal: AbortSignal): Promise<number> {
    const { client, namespace, clock, lifetimes, log } = this.#options
    const signer = await createAuthority({ now: clock.now(), lifetimes })
    const data = dataOf(signer, this.#last?.trusted ?? [])
    const metadata = { name: CA_SECRET, namespace, labels: LABELS }
    const made = await client.create(
      SECRETS,
      { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data: encoded(data) },
      signal,
    )
    log.info('a certificate authority was made', { namespace, name: CA_SECRET })
    return this.#take(made, signal)
  }

  async #take(object: KubeObject, signal: AbortSignal): Promise<number> {
    const isOurs = object.metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY
    const read = readAuthority(secretData(object))
    if (!isOurs) return this.#refuse(`it lacks the label ${MANAGED_BY_LABEL}: ${MANAGED_BY}, so it is somebody else's`)
    if (read.type === 'broken') return this.#refuse(read.why)
    const { authority } = read
    const { clock, lifetimes } = this.#options
    const plan = planAuthority(authority, clock.now(), lifetimes)
    switch (plan.type) {
      case 'keep':
        this.view = { type: 'known', authority }
        return LOOK_MS
      case 'drop':
        return this.#write(object, { signer: authority.signer, older: plan.trusted.slice(1) }, signal)
      case 'renew': {
        const signer = await createAuthority({ now: clock.now(), lifetimes })
        return this.#write(object, { signer, older: plan.trusted }, signal)
      }
    }
  }

  async #write({ metadata: { resourceVersion } }: KubeObject, to: Written, signal: AbortSignal): Promise<number> {
    const { client, namespace, log } = this.#options
    const metadata = { name: CA_SECRET, namespace, resourceVersion, labels: LABELS }
    const data = encoded(dataOf(to.signer, to.older))
    const body = { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data }
    const patch = { type: 'apply', body, fieldManager: FIELD_MANAGER, force: true } as const
    const written = await client.patch(SECRETS, { namespace, name: CA_SECRET }, patch, signal)
    log.info('the certificate authorities were renewed', { namespace, name: CA_SECRET, trusted: to.older.length + 1 })
    const read = readAuthority(secretData(written))
    if (read.type === 'broken') return this.#refuse(read.why)
    this.view = { type: 'known', authority: read.authority }
    return LOOK_MS
  }

  #refuse(why: string): number {
    const { namespace } = this.#options
    const message =
      `Secret ${namespace}/${CA_SECRET} cannot be used: ${why}. Delete it, and the operator makes another one; ` +
      'pods that are connected stay so, the others are reached when they have got their new certificate, within 90 s'
    this.view = { type: 'problem', problem: { reason: 'AuthorityUnusable', message }, last: this.#last }
    return MENDED_MS
  }

  get #last(): Authority | undefined {
    if (this.view.type === 'known') return this.view.authority
    return this.view.type === 'problem' ? this.view.last : undefined
  }

  /** What the API server says of a Secret may quote it: only its code is told. */
  #failed(error: unknown): void {
    const { namespace, log } = this.#options
    const code = isApiError(error) ? `${error.code} ${error.reason}` : error instanceof Error ? error.name : 'unknown'
    // Another operator was faster, or somebody edits it: it is read again.
    if (isApiError(error, 409)) return
    log.warn('the certificate authority could not be read or written', { namespace, name: CA_SECRET, error: code })
    if (this.view.type === 'known') return
    const message = `Secret ${namespace}/${CA_SECRET} could not be read or written (${code}): check the operator's rights in its own namespace`
    this.view = { type: 'problem', problem: { reason: 'AuthorityUnusable', message }, last: this.#last }
  }
}

type Written = {
  readonly signer: { readonly cert: string; readonly key: string }
  readonly older: readonly X509Certificate[]
}

const LABELS = {
  'app.kubernetes.io/name': 'midflight',
  'app.kubernetes.io/component': 'certificate-authority',
  [MANAGED_BY_LABEL]: MANAGED_BY,
}

const dataOf = (signer: Written['signer'], older: readonly X509Certificate[]): Record<string, string> => ({
  [CA_KEYS.certificates]: signer.cert + pemOf(older),
  [CA_KEYS.key]: signer.key,
})

function isOther(before: AuthorityView, now: AuthorityView): boolean {
  if (before === now) return false
  return JSON.stringify(told(before)) !== JSON.stringify(told(now))
}

const told = (view: AuthorityView): unknown => {
  switch (view.type) {
    case 'loading':
      return 'loading'
    case 'known':
      return view.authority.trusted.map(({ fingerprint256 }) => fingerprint256)
    case 'problem':
      return view.problem
  }
}

const ignore = () => undefined
