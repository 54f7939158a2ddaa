import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { type Authority, createAuthority } from '../../../test/api/harness/pki.ts'
import { definitionRevision, secretId } from '../../api/index.ts'
import { systemClock } from '../../clock.ts'
import { agent, push, settings, V1, V2 } from '../../runtime/registry/registry.fixture.ts'
import { startManagement, type TestManagement, TOKEN } from '../../runtime/server/management/management.fixture.ts'
import { createEventParser } from '../target/event-parser.ts'
import { createHttpTarget, type HttpTarget } from '../target/index.ts'
import { createTurns } from '../target/turns.ts'
import { emptyCall } from './fake-runtime.fixture.ts'
import { connectPod, type PodChange } from './index.ts'

const SHARED = { turns: createTurns(), parseEvent: createEventParser() }

const SERVER_NAME = 'main.team.runtime.midflight'
const never = new AbortController().signal
const { target: _, ...call } = emptyCall

let folder: string
let authority: Authority
let ca: string
let disposables = new AsyncDisposableStack()

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pod-'))
  authority = await createAuthority(folder)
  ca = await readFile(authority.caFile, 'utf8')
})
afterAll(() => rm(folder, { recursive: true }))
afterEach(async () => {
  await disposables.disposeAsync()
  disposables = new AsyncDisposableStack()
})

async function runtimeWithTls(): Promise<TestManagement> {
  const { certFile, keyFile } = await authority.server('pod', [SERVER_NAME])
  return disposables.use(await startManagement({ tls: { cert: certFile, key: keyFile } }))
}

function targetOf(management: TestManagement, tls: { ca: string; serverName: string } | undefined): HttpTarget {
  const port = Number(new URL(management.url).port)
  const target = createHttpTarget({
    ...SHARED,
    host: '127.0.0.1',
    port,
    tokens: () => [TOKEN],
    tls: tls && (() => tls),
  })
  disposables.defer(() => target.close())
  return target
}

function follow(target: HttpTarget) {
  const controller = new AbortController()
  const changes: PodChange[] = []
  const divergences: unknown[] = []
  const pod = connectPod(
    {
      target,
      pod: { name: 'main-0', uid: 'pod-7' },
      clock: systemClock,
      onChange: (change) => changes.push(change),
      onDivergence: (difference) => divergences.push(difference),
    },
    controller.signal,
  )
  disposables.defer(async () => {
    controller.abort(new Error('over'))
    await pod.ended
  })
  return { pod, changes, divergences }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(5000)
  while (!condition()) {
    deadline.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('the state of a real runtime, over TLS, is mirrored through all that is done to it', async () => {
  const management = await runtimeWithTls()
  const { pod, divergences } = follow(targetOf(management, { ca, serverName: SERVER_NAME }))
  await until(() => pod.phase === 'following')
  const given = async (bundle: typeof V1 | typeof V2, ...definitions: ReturnType<typeof agent>[]) => {
    const items = definitions.map((definition) => {
      const id = definition.kind === 'Settings' ? 'settings' : `agents/${definition.name}`
      return [id, { owner: 'operator' as const, revision: definitionRevision(definition), definition }]
    })
    return pod.apply(
      {
        ...call,
        fence: 3,
        items: Object.fromEntries(items),
        bundles: { support: push(bundle) },
        secrets: { [secretId({ name: 'llm', key: 'key' })]: { version: 'v1', value: 'canary' } },
        complete: { expected: items.length },
      },
      never,
    )
  }
  const expectSame = () => {
    const { items, bundles, secrets, pins, fence, claimedBy, complete } = management.registry.state()
    expect(Object.fromEntries(pod.state?.items ?? [])).toEqual(items)
    expect(Object.fromEntries(pod.state?.bundles ?? [])).toEqual(bundles)
    expect(Object.fromEntries(pod.state?.secrets ?? [])).toEqual(secrets)
    expect(Object.fromEntries(pod.state?.pins ?? [])).toEqual(pins)
    expect(pod.state).toMatchObject({ fence, claimedBy, complete })
  }
  await given(V1, settings(), agent('a'))
  expectSame()
  await given(V2, agent('a', { role: 'another' }), agent('b', { tools: ['absent'] }))
  expectSame()
  expect(pod.state?.items.get('agents/b')?.candidate?.error?.reason).toBe('ToolNotFound')
  await pod.apply({ ...call, fence: 4, remove: { items: ['agents/a'], bundles: ['support'], secrets: [] } }, never)
  expectSame()
  pod.refresh()
  await pod.apply({ ...call, fence: 4, release: true }, never)
  expectSame()
  expect(divergences).toEqual([])
})

test('a call that a real runtime refuses says why, and the state is read', async () => {
  const management = disposables.use(await startManagement())
  const { pod } = follow(targetOf(management, undefined))
  await until(() => pod.phase === 'following')
  await management.registry.apply({ ...emptyCall, target: { bootId: 'boot' }, fence: 9, claim: 'team/other' })
  await expect(pod.apply({ ...call, fence: 8 }, never)).rejects.toMatchObject({ problem: { reason: 'StaleFence' } })
  await until(() => pod.state?.fence === 9 && pod.state.claimedBy === 'team/other')
})

test('a pod whose certificate is for another name is not spoken to', async () => {
  const management = await runtimeWithTls()
  const target = targetOf(management, { ca, serverName: 'other.team.runtime.midflight' })
  await expect(target.state(never)).rejects.toMatchObject({
    problem: {
      reason: 'RuntimeUnreachable',
      message: expect.stringMatching(/another name: check spec\.adopt\.serverName/),
    },
  })
})

test('a pod whose certificate another authority signed is not spoken to', async () => {
  const management = await runtimeWithTls()
  const other = await mkdtemp(join(tmpdir(), 'pod-'))
  disposables.defer(() => rm(other, { recursive: true }))
  const { caFile } = await createAuthority(other)
  const target = targetOf(management, { ca: await readFile(caFile, 'utf8'), serverName: SERVER_NAME })
  await expect(target.state(never)).rejects.toMatchObject({
    problem: { reason: 'RuntimeUnreachable', message: expect.stringMatching(/not trusted.*spec\.adopt\.caSecretRef/) },
  })
})

test('a pod that ends is unreachable, and what it said last is kept', async () => {
  const management = await startManagement()
  const target = targetOf(management, undefined)
  const { pod } = follow(target)
  await until(() => pod.phase === 'following')
  await management.stop()
  await until(() => pod.link.type === 'unreachable')
  expect(pod.link).toMatchObject({ problem: { reason: 'RuntimeUnreachable' } })
  expect(pod.state?.bootId).toBe('boot')
})
