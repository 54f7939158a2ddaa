import { X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { tokenIdOf } from '../../api/index.ts'
import { createVirtualClock, type VirtualClock } from '../../clock.fixture.ts'
import type { KubeObject } from '../../kube/types.ts'
import { createLog } from '../../log.ts'
import { apiError, FakeSecrets } from './fake-secrets.fixture.ts'
import type { PodCredentials, Trust, TrustOutcome } from './port.ts'
import { DAY } from './trust.fixture.ts'
import { createTrust } from './trust.ts'

const MANAGEMENT = 'main-runtime-management'
const KEY = 'main-runtime-key'
const CA = 'midflight-ca'
const RUNTIME = { namespace: 'team', name: 'main' }
const MINUTE = 60_000
const never = new AbortController().signal

const runtime: KubeObject = {
  apiVersion: 'midflight.dev/v1alpha1',
  kind: 'AgentRuntime',
  metadata: { ...RUNTIME, uid: 'uid-main' },
}

let secrets: FakeSecrets
let clock: VirtualClock
let lines: string[]
let woken: string[]
let stop: AbortController
let made = 0
let trust: Trust

/** Another process of the operator; the one before knows nothing any more. */
function start(): void {
  stop?.abort(new Error('over'))
  stop = new AbortController()
  const log = createLog({ level: 'debug', format: 'json', destination: { write: (line) => void lines.push(line) } })
  trust = createTrust(
    {
      client: secrets,
      dependents: secrets.dependents,
      namespace: 'system',
      clock,
      log,
      onChange: ({ name }) => woken.push(name),
      fresh: () => {
        made += 1
        return `canary-${made}`
      },
    },
    stop.signal,
  )
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 2))

/** Reconciles until it is not loading any more. */
async function reconcile(
  pods: readonly PodCredentials[] = [],
  { auth = 'key', object = runtime }: { auth?: 'key' | 'none'; object?: KubeObject } = {},
): Promise<Exclude<TrustOutcome, { type: 'loading' }>> {
  for (let turns = 0; turns < 500; turns += 1) {
    const outcome = await trust.reconcile({ runtime: object, auth, pods }, never)
    if (outcome.type !== 'loading') return outcome
    await turn()
  }
  throw new Error('it is loading for ever')
}

async function until(isTrue: () => boolean): Promise<void> {
  for (let turns = 0; turns < 500 && !isTrue(); turns += 1) await turn()
  expect(isTrue()).toBe(true)
}

function known() {
  const access = trust.access(RUNTIME)
  if (access.type !== 'known') throw new Error(access.type)
  return access
}
const accepting = (...accepted: readonly (string | undefined)[]): PodCredentials => ({
  tokenIds: accepted.flatMap((token) => (token === undefined ? [] : [tokenIdOf(token)])),
})
const tokens = () => {
  const { token, nextToken } = secrets.data(MANAGEMENT) ?? {}
  return { token, nextToken }
}

beforeEach(() => {
  secrets = new FakeSecrets()
  clock = createVirtualClock()
  lines = []
  woken = []
  start()
})
afterEach(() => {
  stop.abort(new Error('over'))
  // Wherever something was told, no secret was in it.
  expect(lines.join('')).not.toMatch(/canary-|PRIVATE KEY/)
})

describe('an AgentRuntime that is new', () => {
  test('gets a token, a certificate and a key, with labels and its owner', async () => {
    const { type } = await reconcile()
    expect(type).toBe('ready')
    expect(Object.keys(secrets.data(MANAGEMENT) ?? {}).sort()).toEqual(['tls.crt', 'tls.key', 'token'])
    expect(Object.keys(secrets.data(KEY) ?? {})).toEqual(['key'])
    expect(Object.keys(secrets.data(CA, 'system') ?? {})).toEqual(['ca.crt', 'ca.key'])
    for (const name of [MANAGEMENT, KEY])
      expect(secrets.metadata(name)).toMatchObject({
        labels: {
          'app.kubernetes.io/name': 'midflight-runtime',
          'app.kubernetes.io/instance': 'main',
          'app.kubernetes.io/managed-by': 'midflight',
          'midflight.dev/runtime': 'main',
        },
        ownerReferences: [{ kind: 'AgentRuntime', name: 'main', uid: 'uid-main', controller: true }],
      })
    expect(secrets.metadata(CA, 'system')).not.toHaveProperty('ownerReferences')
  })

  test('has its certificate parsed once, however often it is woken, and again when the Secret holds another', async () => {
    await reconcile()
    await reconcile()
    const parse = jest.spyOn(X509Certificate.prototype, 'checkIssued')
    for (let wakes = 0; wakes < 50; wakes += 1) await reconcile([accepting(tokens().token)])
    expect(parse).toHaveBeenCalledTimes(0)
    const { 'tls.crt': cert = '', ...rest } = secrets.data(MANAGEMENT) ?? {}
    secrets.edit(MANAGEMENT, { data: { ...rest, 'tls.crt': `${cert}\n# edited` } })
    await reconcile()
    expect(parse.mock.calls.length).toBeGreaterThan(0)
    parse.mockRestore()
  })

  test('gets no key where everybody may call', async () => {
    await reconcile([], { auth: 'none' })
    expect(secrets.data(KEY)).toBeUndefined()
  })

  test('is loading until it is known what there is, and is told when it is', async () => {
    expect(trust.access(RUNTIME)).toEqual({ type: 'loading' })
    expect(await trust.reconcile({ runtime, auth: 'key', pods: [] }, never)).toEqual({ type: 'loading' })
    expect(secrets.writes).toEqual([])
    await until(() => woken.length > 0)
    expect((await trust.reconcile({ runtime, auth: 'key', pods: [] }, never)).type).toBe('ready')
  })

  test('is called with its token, by its name, with the installation’s authority', async () => {
    await reconcile()
    const { ca, serverName, tokens: choose } = known()
    expect(serverName).toBe('main.team.runtime.midflight')
    expect(ca).toBe(secrets.data(CA, 'system')?.['ca.crt'])
    expect(choose(undefined)).toEqual([tokens().token])
  })
})

describe('nothing is written', () => {
  test('again while nothing changes, nor by an operator that starts', async () => {
    await reconcile()
    secrets.writes.length = 0
    await reconcile()
    start()
    await reconcile([accepting(tokens().token)])
    clock.advance(10 * MINUTE)
    await reconcile()
    expect(secrets.writes).toEqual([])
  })

  test('for what the watch does not show yet', async () => {
    secrets.stall()
    await reconcile()
    const before = tokens()
    await reconcile()
    await reconcile()
    expect(tokens()).toEqual(before)
    expect(secrets.writes).toEqual([`create ${CA}`, `create ${KEY}`, `apply ${MANAGEMENT}`])
  })

  test('over a key that somebody made, nor over labels and annotations of others', async () => {
    secrets.edit(KEY, { data: { key: 'canary-of-a-user' } })
    await reconcile()
    expect(secrets.data(KEY)).toEqual({ key: 'canary-of-a-user' })
    secrets.edit(MANAGEMENT, { annotations: { 'example.com/note': 'x', 'midflight.dev/other': 'y' } })
    secrets.writes.length = 0
    await reconcile()
    expect(secrets.writes).toEqual([])
  })
})

test('a key Secret without a key is told with what to do, and stays', async () => {
  secrets.edit(KEY, { data: { password: 'canary-x' } })
  const outcome = await reconcile()
  expect(outcome).toMatchObject({ type: 'problem', problem: { reason: 'SecretNotFound' } })
  expect(outcome.type === 'problem' && outcome.problem.message).toMatch(/"main-runtime-key" has no key "key"/)
  expect(secrets.data(KEY)).toEqual({ password: 'canary-x' })
  expect(tokens().token).toBeDefined()
})

describe('a token that is rotated', () => {
  const wish = (value: string) => secrets.edit(MANAGEMENT, { annotations: { 'midflight.dev/rotate-token': value } })

  test('stands beside the new one until every pod accepts that, and each pod is called with what it accepts', async () => {
    await reconcile()
    const { token: old } = tokens()
    wish('1')
    await reconcile([accepting(old), accepting(old)])
    const { token, nextToken } = tokens()
    expect(token).toBe(old)
    const { tokens: choose } = known()
    expect(choose(accepting(old).tokenIds)[0]).toBe(old)
    expect(choose(accepting(old, nextToken).tokenIds)[0]).toBe(nextToken)
    clock.advance(3 * MINUTE)
    await reconcile([accepting(old, nextToken), accepting(old)])
    expect(tokens()).toEqual({ token: old, nextToken })
    await reconcile([accepting(old, nextToken), accepting(old, nextToken)])
    expect(tokens()).toEqual({ token: nextToken, nextToken: undefined })
    expect(known().tokens(undefined)).toEqual([nextToken, old])
    await reconcile([])
    expect(tokens()).toEqual({ token: nextToken, nextToken: undefined })
  })

  test('goes on in another process, at any step', async () => {
    await reconcile()
    const { token: old } = tokens()
    wish('1')
    start()
    await reconcile([accepting(old)])
    start()
    await reconcile([accepting(old)])
    const { nextToken } = tokens()
    expect(nextToken).toBeDefined()
    clock.advance(3 * MINUTE)
    start()
    await reconcile([accepting(old, nextToken)])
    start()
    await reconcile([accepting(nextToken)])
    expect(tokens()).toEqual({ token: nextToken, nextToken: undefined })
  })

  test('is rotated after thirty days on its own', async () => {
    await reconcile()
    clock.advance(31 * DAY)
    await reconcile()
    expect(tokens().nextToken).toBeDefined()
  })
})

describe('a management Secret', () => {
  test('that is deleted gets back the token that the pods accept, and a new one beside it', async () => {
    await reconcile()
    const { token: old } = tokens()
    secrets.remove(MANAGEMENT)
    await reconcile([accepting(old)])
    expect(tokens()).toEqual({ token: old, nextToken: expect.stringMatching(/^canary-/) })
    expect(known().tokens(accepting(old).tokenIds)[0]).toBe(old)
  })

  test('that is emptied is made whole', async () => {
    await reconcile()
    const { token: old } = tokens()
    secrets.edit(MANAGEMENT, { data: {} })
    await reconcile()
    expect(secrets.data(MANAGEMENT)).toMatchObject({ token: old, 'tls.crt': expect.stringContaining('BEGIN') })
  })

  test('that is deleted while no operator runs gets a new token', async () => {
    await reconcile()
    const { token: old } = tokens()
    secrets.remove(MANAGEMENT)
    start()
    await reconcile()
    expect(tokens().token).not.toBe(old)
    expect(tokens().nextToken).toBeUndefined()
  })

  test('whose token somebody changed is used as it is, and pods are called with the former one while they accept that', async () => {
    await reconcile()
    const { token: old } = tokens()
    secrets.edit(MANAGEMENT, { data: { ...secrets.data(MANAGEMENT), token: 'canary-by-hand' } })
    await reconcile([accepting(old)])
    expect(tokens().token).toBe('canary-by-hand')
    expect(known().tokens(accepting(old).tokenIds)).toEqual([old, 'canary-by-hand'])
  })

  test('gets a new certificate in time, and keeps its token', async () => {
    await reconcile()
    const before = secrets.data(MANAGEMENT)
    clock.advance(61 * DAY)
    // Its token is due too: that is the next step's.
    await reconcile()
    const after = secrets.data(MANAGEMENT)
    expect(after?.['tls.crt']).not.toBe(before?.['tls.crt'])
    expect(after?.token).toBe(before?.token)
  })

  test('belongs to the AgentRuntime of now when that was made again under its name', async () => {
    await reconcile()
    const again = { ...runtime, metadata: { ...runtime.metadata, uid: 'uid-again' } }
    await reconcile([], { object: again })
    expect(secrets.metadata(MANAGEMENT)).toMatchObject({ ownerReferences: [{ uid: 'uid-again' }] })
  })

  test('that changed between reading and writing is not overwritten: it is tried again', async () => {
    await reconcile()
    secrets.remove(MANAGEMENT)
    secrets.refused.set('patch', apiError(409, 'Conflict'))
    await expect(reconcile()).rejects.toMatchObject({ code: 409 })
    secrets.refused.clear()
    expect((await reconcile()).type).toBe('ready')
  })
})

describe('the certificate authority', () => {
  const nextLook = async () => {
    clock.advance(MINUTE)
    await turn()
  }

  test('is that of another operator which was faster', async () => {
    const create = secrets.create
    secrets.create = async (type, object) => {
      secrets.create = create
      await create(type, object)
      throw apiError(409, 'AlreadyExists')
    }
    void trust.reconcile({ runtime, auth: 'none', pods: [] }, never)
    await until(() => secrets.data(CA, 'system') !== undefined)
    const winner = secrets.data(CA, 'system')
    clock.advance(5_000)
    await reconcile()
    expect(secrets.data(CA, 'system')).toEqual(winner)
    expect(known().ca).toBe(winner?.['ca.crt'])
  })

  test('gets a successor a year before its end, is trusted on, and every certificate is issued anew', async () => {
    await reconcile()
    const before = { ca: secrets.data(CA, 'system')?.['ca.crt'] ?? '', leaf: secrets.data(MANAGEMENT)?.['tls.crt'] }
    clock.advance(4 * 365 * DAY + DAY)
    woken.length = 0
    await until(() => woken.length > 0)
    const after = secrets.data(CA, 'system')?.['ca.crt'] ?? ''
    expect(after.endsWith(before.ca)).toBe(true)
    expect(after.length).toBeGreaterThan(before.ca.length)
    expect(known().ca).toBe(after)
    await reconcile()
    expect(secrets.data(MANAGEMENT)?.['tls.crt']).not.toBe(before.leaf)
    clock.advance(100 * DAY)
    await until(() => !(secrets.data(CA, 'system')?.['ca.crt'] ?? '').includes(before.ca))
  })

  test('that is deleted is made anew, and what was trusted is trusted on', async () => {
    await reconcile()
    const before = secrets.data(CA, 'system')?.['ca.crt'] ?? ''
    secrets.remove(CA, 'system')
    await nextLook()
    await until(() => secrets.data(CA, 'system') !== undefined)
    expect(secrets.data(CA, 'system')?.['ca.crt']).toContain(before)
  })

  test.each<[string, Parameters<FakeSecrets['edit']>[1], RegExp]>([
    ['is broken', { data: { 'ca.crt': 'canary-x', 'ca.key': 'canary-y' } }, /ca\.crt holds no certificates/],
    ['is somebody else’s', { labels: {} }, /lacks the label app\.kubernetes\.io\/managed-by: midflight/],
  ])(
    'that %s is told with what to do, is left as it is, and pods are called as before',
    async (_what, parts, message) => {
      await reconcile()
      const { ca } = known()
      secrets.edit(CA, parts, 'system')
      const broken = secrets.data(CA, 'system')
      await nextLook()
      await until(() => woken.length > 1)
      secrets.writes.length = 0
      const outcome = await reconcile()
      expect(outcome).toMatchObject({ type: 'problem', problem: { reason: 'AuthorityUnusable' } })
      const told = outcome.type === 'problem' ? outcome.problem.message : ''
      expect(told).toMatch(message)
      expect(told).toMatch(/Secret system\/midflight-ca .*Delete it/)
      expect(told).not.toMatch(/canary/)
      expect(known().ca).toBe(ca)
      expect(secrets.data(CA, 'system')).toEqual(broken)
      expect(secrets.writes).toEqual([])
      secrets.remove(CA, 'system')
      await nextLook()
      await until(() => secrets.data(CA, 'system') !== undefined)
      expect((await reconcile()).type).toBe('ready')
    },
  )

  test('that may not be read is told with what to do', async () => {
    secrets.refused.set('get', apiError(403, 'Forbidden'))
    const outcome = await reconcile()
    expect(outcome.type === 'problem' && outcome.problem.message).toMatch(/403 Forbidden.*rights/)
    expect(trust.access(RUNTIME)).toMatchObject({ type: 'problem', problem: { reason: 'AuthorityUnusable' } })
  })
})

test('what is forgotten is not wanted, nor called, any more', async () => {
  await reconcile()
  trust.forget(RUNTIME)
  expect(trust.access(RUNTIME)).toEqual({ type: 'loading' })
  expect(secrets.dependents.secret('team', MANAGEMENT)).toEqual({ type: 'loading' })
})
