import { expect } from '@jest/globals'
import { type ApplyRequest, bundleHash, type ItemId, type ItemStatus, SETTINGS_ID } from '../../api/index.ts'
import { filesOf, request } from '../../runtime/registry/registry.fixture.ts'
import { reportOn } from '../items/report-on.ts'
import type { Declared } from '../world/catalogue.ts'
import { FakePod, NAMESPACE, TestUnit } from './unit.fixture.ts'

const NAME = { namespace: NAMESPACE, name: 'main' }
const SECRET = { name: 'llm', key: 'openai' }
const BUNDLES = [{ name: 'files', configMap: 'support-files' }]

/** Contents of the ConfigMap, that there is none, and that it is not known whether there is one. */
export const bundleTexts = ['sun', 'rain', 'broken', 'missing', 'unknown'] as const
const filesWith = (text: string) => ({ 'tools/weather.ts': text })
export const hashOf = (text: string): string => bundleHash(filesOf(filesWith(text)))

/** How the operator signs. */
export const CLAIM = `${NAMESPACE}/main/uid-main`

/** Lets what is ready run, once. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

type AgentParts = { readonly role: string; readonly tools?: readonly string[]; readonly agents?: readonly string[] }

export type Disturbance = 'join' | 'leave' | 'restart' | 'hang' | 'silence' | 'heal' | 'unready' | 'ready'

/** One AgentRuntime, what can befall it and its pods, and what must never happen. */
export class Scene {
  readonly unit = new TestUnit(3)
  /** Items that a pod was sent though it held them, and nothing had happened to it. */
  readonly repeated: string[] = []
  /** Items that a pod was given though another one, which was there and answered all the time, refuses them. */
  readonly hasty: string[] = []
  /** How many operations there were when a revision of an item was declared last. */
  readonly #declaredAt = new Map<string, number>()
  /** Pods to which nothing has happened, and how many operations there were when they came. */
  readonly #steadySince = new Map<FakePod, number>()
  readonly #held = new Map<FakePod, PromiseWithResolvers<void>>()
  /** Revisions that a pod of that name refuses. */
  readonly #refusals = new Map<string, Set<string>>()
  #operations = 0
  #fence = 5

  /** Three pods that serve agent `base`. */
  static async begin(): Promise<Scene> {
    const scene = new Scene()
    for (const pod of scene.unit.pods) scene.#watch(pod)
    scene.secret('1')
    scene.bundle('missing')
    scene.settings('hello')
    scene.unit.agent('base')
    await scene.unit.quiet()
    return scene
  }

  /** What every pod serves from the beginning. */
  get base(): Record<string, string> {
    return { [SETTINGS_ID]: this.unit.revision(SETTINGS_ID), 'agents/base': this.unit.revision('agents/base') }
  }

  /** Whether one of the pods refuses a role: `bad on pod-1`. */
  isRefused(role: string): boolean {
    return this.unit.pods.some(({ name }) => role === `bad on ${name}`)
  }

  declare(name: string, parts: AgentParts): void {
    this.unit.agent(name, parts)
    this.#declared(`agents/${name}`, parts.role)
  }

  settings(reply: string): void {
    const script = { name: 'demo', provider: 'scripted', script: [{ match: '.*', reply }] }
    const paid = { name: 'default', provider: 'openai', model: 'm', apiKey: { secretKeyRef: SECRET } }
    this.unit.runtime({ models: [paid, script], bundles: BUNDLES })
    this.#declared(SETTINGS_ID, reply)
  }

  secret(value: string): void {
    this.unit.dependents.put('Secret', SECRET.name, value === 'missing' ? value : { [SECRET.key]: value })
    this.unit.wake()
  }

  bundle(text: (typeof bundleTexts)[number]): void {
    const { dependents } = this.unit
    if (text === 'unknown') dependents.forget('ConfigMap', 'support-files')
    else dependents.put('ConfigMap', 'support-files', text === 'missing' ? text : filesWith(text))
    this.unit.wake()
  }

  join(name: string): void {
    const pod = new FakePod(name)
    for (const revision of this.#refusals.get(name) ?? []) pod.refused.add(revision)
    this.#watch(pod)
    this.unit.pods.push(pod)
    this.unit.wake()
  }

  /** Something befalls a pod that is there, or one joins. */
  disturb(what: Disturbance, name: string): void {
    const pod = this.unit.pods.find((each) => each.name === name)
    if (pod === undefined) {
      if (what === 'join') this.join(name)
      return
    }
    if (what !== 'join') this.#steadySince.delete(pod)
    switch (what) {
      case 'join':
        break
      case 'leave':
        this.unit.pods.splice(this.unit.pods.indexOf(pod), 1)
        this.#release(pod)
        break
      case 'restart':
        pod.restart()
        break
      case 'hang':
        if (!this.#held.has(pod)) this.#held.set(pod, Promise.withResolvers())
        break
      case 'silence':
        pod.isReachable = false
        break
      case 'heal':
        pod.isReachable = true
        this.#release(pod)
        break
      case 'unready':
      case 'ready':
        pod.isReady = what === 'ready'
        break
    }
    this.unit.wake()
  }

  /** Somebody takes an item out of a pod behind the operator's back. */
  async lose(name: string, id: ItemId): Promise<void> {
    const pod = this.unit.pods.find((each) => each.name === name)
    if (pod === undefined) return
    const { registry } = pod
    const { fence } = registry.state()
    this.#steadySince.delete(pod)
    await registry.apply(request({ fence, claim: CLAIM, target: { bootId: registry.bootId }, remove: { items: [id] } }))
  }

  /** Another process of the operator takes over. */
  restartOperator(): void {
    this.#fence += 1
    // It learns of its pods one after the other.
    this.#steadySince.clear()
    this.unit.restart(this.#fence)
  }

  /** Every pod answers again, and the longest back-off has passed. */
  async heal(): Promise<void> {
    for (const pod of this.unit.pods) {
      pod.isReachable = true
      this.#release(pod)
    }
    await this.unit.pass(66_000, 2_000)
  }

  /** No report says that what is declared serves where it does not. */
  checkReports(): void {
    const { view } = this.unit.unit
    for (const declared of this.unit.catalogue.of(NAME)) {
      if (!this.#saysReady(declared)) continue
      for (const { name, isReady, link, state } of view.pods) {
        if (!isReady || state?.complete !== true) continue
        const pod = this.unit.pods.find((each) => each.name === name)
        const { id } = declared.entry
        // Of one that does not answer nobody knows more than it said last.
        const serving = link.type === 'reachable' ? pod?.serving[id] : state.items.get(id)?.active?.revision
        expect({ [`${id} on ${name}`]: serving }).toEqual({ [`${id} on ${name}`]: this.unit.revision(id) })
      }
    }
  }

  #saysReady(declared: Declared): boolean {
    const serving = { unit: this.unit.unit, managed: undefined }
    const report = reportOn(declared, serving, { now: this.unit.clock.now(), sinceWriteMs: undefined })
    if (report?.type !== 'write') return false
    const { conditions = [], observedGeneration } = report.status as ItemStatus
    expect(observedGeneration).toBe(declared.object.metadata.generation)
    return conditions.some(({ type, status }) => type === 'Ready' && status === 'True')
  }

  /** Every pod has been given everything that is declared and nothing else; what it does not serve it refused, or waits for. */
  checkRest(): void {
    for (const pod of this.unit.pods) this.#checkPod(pod)
  }

  #checkPod(pod: FakePod): void {
    const state = pod.registry.state()
    const { verdicts } = this.unit.unit.view
    const declared = new Map([...this.unit.catalogue.of(NAME)].map(({ entry }) => [entry.id, entry]))
    expect({ [pod.name]: [state.complete, state.fence] }).toEqual({ [pod.name]: [true, this.#fence] })
    for (const [id, entry] of declared) {
      const wanted = this.unit.unit.declared(entry)
      if (wanted?.type !== 'compiled' || verdicts.get(id)?.revision === wanted.revision) continue
      const item = state.items[id]
      expect({ [`${id} on ${pod.name}`]: (item?.candidate ?? item?.active)?.revision }).toEqual({
        [`${id} on ${pod.name}`]: wanted.revision,
      })
    }
    for (const [id, { candidate }] of Object.entries(state.items)) {
      // It stays while another item needs it.
      if (declared.has(id)) continue
      expect({ [`${id} on ${pod.name}`]: candidate?.error?.reason }).toEqual({
        [`${id} on ${pod.name}`]: 'StillReferenced',
      })
    }
  }

  async end(): Promise<void> {
    this.unit.end()
    await turn()
  }

  #declared(id: ItemId, role: string): void {
    this.#operations += 1
    const revision = this.unit.revision(id)
    this.#declaredAt.set(`${id} ${revision}`, this.#operations)
    // A pod on its way in is not asked.
    for (const pod of this.#steadySince.keys()) if (!canTell(pod)) this.#steadySince.set(pod, this.#operations)
    if (!role.startsWith('bad on ')) return
    const name = role.slice('bad on '.length)
    this.#refusals.set(name, (this.#refusals.get(name) ?? new Set()).add(revision))
    for (const pod of this.unit.pods) if (pod.name === name) pod.refused.add(revision)
  }

  #watch(pod: FakePod): void {
    this.#operations += 1
    this.#steadySince.set(pod, this.#operations)
    pod.gate = (call) => {
      if (call.mode === 'activate') this.#judge(pod, call)
      return this.#held.get(pod)?.promise
    }
  }

  #judge(pod: FakePod, { items }: ApplyRequest): void {
    const { items: held } = pod.registry.state()
    const isNew = !canTell(pod)
    for (const [id, { revision }] of Object.entries(items)) {
      const item = held[id]
      const isHeld = item?.owner === 'operator' && (item.candidate ?? item.active)?.revision === revision
      if (isHeld && this.#steadySince.has(pod)) this.repeated.push(`${id} ${revision} on ${pod.name}`)
      const refusing = this.#steadyThatRefuses(id, revision)
      if (!isNew && refusing) this.hasty.push(`${id} ${revision} on ${pod.name}, refused by ${refusing.name}`)
    }
  }

  #isDeclared(id: ItemId, revision: string): boolean {
    return [...this.unit.catalogue.of(NAME)].some(
      ({ entry }) => entry.id === id && entry.type === 'parsed' && entry.item.revision === revision,
    )
  }

  #steadyThatRefuses(id: ItemId, revision: string): FakePod | undefined {
    const declaredAt = this.#declaredAt.get(`${id} ${revision}`)
    // What is given back after a refusal was good before.
    if (declaredAt === undefined || !this.#isDeclared(id, revision)) return undefined
    return this.unit.pods.find((pod) => {
      const since = this.#steadySince.get(pod)
      return since !== undefined && since < declaredAt && canTell(pod) && pod.refused.has(revision)
    })
  }

  #release(pod: FakePod): void {
    this.#held.get(pod)?.resolve()
    this.#held.delete(pod)
  }
}

/** Whether something of the operator's serves on a pod, and it has been given the whole. */
function canTell({ registry }: FakePod): boolean {
  const { complete, items } = registry.state()
  return complete && Object.keys(items).length > 1
}
