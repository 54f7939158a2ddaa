import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { ProblemError } from '../../api/index.ts'
import { systemClock } from '../../clock.ts'
import { startManagement, type TestManagement, TOKEN } from '../../runtime/server/management/management.fixture.ts'
import { emptyCall } from '../pods/fake-runtime.fixture.ts'
import { connectPod, type PodChange } from '../pods/index.ts'
import { createEventParser, createHttpTarget, createTurns, type HttpTarget, type TlsTrust } from '../target/index.ts'
import { createAuthority, issueCertificate, type KeyedCertificate } from './issue.ts'
import { LIFETIMES } from './lifetimes.ts'
import { DAY, fingerprintOf, NAME } from './trust.fixture.ts'

// A pod's certificate, authority and tokens change under a real runtime and a real client.

const never = new AbortController().signal
const { target: _, ...call } = emptyCall

let folder: string
let disposables: AsyncDisposableStack
beforeEach(async () => {
  disposables = new AsyncDisposableStack()
  folder = await mkdtemp(join(tmpdir(), 'renewal-'))
  disposables.defer(() => rm(folder, { recursive: true }))
})
afterEach(() => disposables.disposeAsync())

const files = () => ({ cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') })

async function mount({ cert, key }: KeyedCertificate): Promise<void> {
  await writeFile(files().cert, cert)
  await writeFile(files().key, key)
}

const authorityAt = (now = Date.now()) => createAuthority({ now, lifetimes: LIFETIMES })
const leafOf = (authority: KeyedCertificate, now = Date.now()) =>
  issueCertificate(NAME, authority, { now, lifetimes: LIFETIMES })
const trusting = (...authorities: readonly KeyedCertificate[]): TlsTrust => ({
  ca: authorities.map(({ cert }) => cert).join(''),
  serverName: NAME,
})
const hex = (certificate: KeyedCertificate) => fingerprintOf(certificate).replaceAll(':', '').toLowerCase()

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(8_000)
  while (!(await condition())) {
    deadline.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

type Access = { trust: TlsTrust | undefined; tokens: readonly string[] }

function targetOf(management: TestManagement, access: Access): HttpTarget {
  const target = createHttpTarget({
    turns: createTurns(),
    parseEvent: createEventParser(),
    host: '127.0.0.1',
    port: Number(new URL(management.url).port),
    tokens: () => access.tokens,
    tls: access.trust && (() => access.trust as TlsTrust),
    runBy: 'operator',
  })
  disposables.defer(() => target.close())
  return target
}

async function messageOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof ProblemError ? `${error.problem.reason}: ${error.problem.message}` : `no problem: ${error}`
}

describe('a certificate', () => {
  test('is renewed, and its authority replaced, while calls and events are under way: none fails', async () => {
    const [first, second] = await Promise.all([authorityAt(), authorityAt()])
    const [old, renewed] = await Promise.all([leafOf(first), leafOf(second)])
    await mount(old)
    const management = disposables.use(await startManagement({ tls: files() }))
    const access: Access = { trust: trusting(first), tokens: [TOKEN] }
    const target = targetOf(management, access)
    const changes: PodChange[] = []
    const stop = new AbortController()
    const onChange = (change: PodChange) => void changes.push(change)
    const pod = connectPod({ target, pod: { name: 'p', uid: 'pod-7' }, clock: systemClock, onChange }, stop.signal)
    await until(() => pod.phase === 'following')
    changes.length = 0
    const failed: unknown[] = []
    let calls = 0
    const load = (async () => {
      while (!stop.signal.aborted) {
        await pod.apply({ ...call, fence: calls }, never).catch((error: unknown) => failed.push(error))
        await target.state(never).catch((error: unknown) => failed.push(error))
        calls += 1
      }
    })()
    const more = async (count = 20) => {
      const from = calls
      await until(() => calls >= from + count)
    }
    await more()
    access.trust = trusting(second, first)
    await more()
    await mount(renewed)
    const served = async () => {
      const answer = await target.state(never)
      return answer.type === 'state' ? answer.state.credentials?.certificate?.fingerprint : undefined
    }
    await until(async () => (await served()) === hex(renewed))
    await more()
    // Now connections are made anew, and verified against the second authority alone.
    access.trust = trusting(second)
    pod.refresh()
    await more()
    await until(() => pod.phase === 'following')
    stop.abort(new Error('over'))
    await load
    await pod.ended
    expect(failed.filter((error) => !stop.signal.aborted || error !== stop.signal.reason)).toEqual([])
    expect(changes.filter(({ link, restarted }) => link || restarted)).toEqual([])
  }, 20_000)

  test('of an authority that is trusted no more is refused, and the message says what will help', async () => {
    const [first, second] = await Promise.all([authorityAt(), authorityAt()])
    await mount(await leafOf(first))
    const management = disposables.use(await startManagement({ tls: files() }))
    const access: Access = { trust: trusting(first), tokens: [TOKEN] }
    const target = targetOf(management, access)
    await target.state(never)
    access.trust = trusting(second)
    expect(await messageOf(target.state(never))).toMatch(/^RuntimeUnreachable: .*not trusted .*kubelet brings/)
  })

  test('that has expired is told with its day', async () => {
    const authority = await authorityAt(Date.now() - 200 * DAY)
    const expired = await leafOf(authority, Date.now() - 100 * DAY)
    await mount(await leafOf(authority))
    const management = disposables.use(await startManagement({ tls: files() }))
    const access: Access = { trust: trusting(authority, await authorityAt()), tokens: [TOKEN] }
    const target = targetOf(management, access)
    await target.state(never)
    await mount(expired)
    await until(async () => {
      const answer = await target.state(never)
      return answer.type === 'state' && answer.state.credentials?.certificate?.fingerprint === hex(expired)
    })
    access.trust = trusting(authority)
    const day = new Date(Date.now() - 10 * DAY).toISOString().slice(0, 10)
    expect(await messageOf(target.state(never))).toMatch(
      new RegExp(`^RuntimeUnreachable: .*expired on ${day}.*the kubelet brings the one that the operator wrote`),
    )
  })

  test('that is valid from tomorrow on, as the clock was wrong, is told so', async () => {
    const authority = await authorityAt()
    await mount(await leafOf(authority, Date.now() + DAY))
    const management = disposables.use(await startManagement({ tls: files() }))
    const target = targetOf(management, { trust: trusting(authority), tokens: [TOKEN] })
    expect(await messageOf(target.state(never))).toMatch(/not valid yet: compare the clocks/)
  })
})
