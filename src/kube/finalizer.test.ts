import { describe, expect, test } from '@jest/globals'
import { type FinalizerClient, planFinalizer, writeFinalizer } from './finalizer.ts'
import { ApiError, type KubeObject, type ObjectMeta } from './types.ts'

const TYPE = { group: '', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true }
const MINE = 'example.dev/mine'
const SIGNAL = new AbortController().signal

const object = (metadata: Partial<ObjectMeta> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { name: 'a', namespace: 'x', uid: 'u1', resourceVersion: '7', ...metadata },
})

const patchOf = (finalizers: string[]) => ({
  type: 'patch',
  body: { metadata: { uid: 'u1', resourceVersion: '7', finalizers } },
})

describe('planFinalizer', () => {
  test.each([
    ['adds the first', {}, 'present', patchOf([MINE])],
    ['adds after those of others', { finalizers: ['other/one'] }, 'present', patchOf(['other/one', MINE])],
    ['has nothing to add', { finalizers: [MINE] }, 'present', { type: 'none' }],
    ['adds nothing to what is being deleted', { deletionTimestamp: 'now' }, 'present', { type: 'deleting' }],
    ['removes only its own', { finalizers: ['other/one', MINE] }, 'absent', patchOf(['other/one'])],
    ['removes the last', { finalizers: [MINE], deletionTimestamp: 'now' }, 'absent', patchOf([])],
    ['has nothing to remove', { finalizers: ['other/one'] }, 'absent', { type: 'none' }],
  ] as const)('%s', (_, metadata, wanted, plan) => {
    expect(planFinalizer(object(metadata), MINE, wanted)).toEqual(plan)
  })
})

describe('writeFinalizer', () => {
  const write = (patch: FinalizerClient['patch']) =>
    writeFinalizer({ patch }, { type: TYPE, object: object(), finalizer: MINE, wanted: 'present' }, SIGNAL)
  const refuse = (code: number) => async () => {
    throw new ApiError({ code, reason: 'Refused', message: 'refused' })
  }

  test('gives what the API server answered', async () => {
    const answer = object({ finalizers: [MINE], resourceVersion: '8' })
    expect(await write(async () => answer)).toEqual({ type: 'written', object: answer })
  })

  test('says of a 404 that the object is gone, and of a 409 that it has changed', async () => {
    expect(await write(refuse(404))).toEqual({ type: 'gone' })
    expect(await write(refuse(409))).toEqual({ type: 'conflict' })
  })

  test('leaves other refusals to the caller', async () => {
    await expect(write(refuse(403))).rejects.toThrow('refused')
  })

  test('sends nothing when nothing is to be done', async () => {
    const client = { patch: refuse(500) }
    const held = object({ finalizers: [MINE] })
    const change = { type: TYPE, object: held, finalizer: MINE, wanted: 'present' } as const
    expect(await writeFinalizer(client, change, SIGNAL)).toEqual({ type: 'unchanged' })
  })
})
