import { describe, expect, test } from '@jest/globals'
import type { KubeObject } from '../../kube/types.ts'
import { deploymentTrouble, podTrouble } from './trouble.ts'

const objectOf = (kind: string, status: object | undefined): KubeObject => ({
  ...{ apiVersion: 'v1', kind, metadata: { name: 'x' } },
  ...(status && { status }),
})
const waiting = (reason: string, message: string, more: object = {}) => ({
  phase: 'Pending',
  containerStatuses: [{ name: 'runtime', image: 'mine:1', state: { waiting: { reason, message } }, ...more }],
})
const ended = (terminated: object) => ({ lastState: { terminated } })

describe('a pod', () => {
  test.each<[string, object, string, RegExp]>([
    [
      'without a node',
      { conditions: [{ type: 'PodScheduled', status: 'False', message: '0/3 nodes are available' }] },
      'PodsUnschedulable',
      /^pod x has no node: 0\/3 nodes are available$/,
    ],
    [
      'whose image is not there',
      waiting('ErrImagePull', 'not found'),
      'ImagePullFailed',
      /"mine:1" .*\(ErrImagePull\): check spec\.image and .*; not found$/,
    ],
    [
      'whose image is waited for',
      waiting('ImagePullBackOff', 'Back-off 20s'),
      'ImagePullFailed',
      /"mine:1" .*\(ImagePullBackOff\): check spec\.image and spec\.pod\.imagePullSecrets$/,
    ],
    [
      'that ends again and again',
      waiting('CrashLoopBackOff', 'back-off 40s', ended({ exitCode: 2, reason: 'Error' })),
      'PodsCrashing',
      /\(Error, exit code 2\)/,
    ],
    [
      'that takes too much memory',
      waiting('CrashLoopBackOff', 'back-off 40s', ended({ exitCode: 137, reason: 'OOMKilled' })),
      'PodsCrashing',
      /OOMKilled, exit code 137: raise spec\.resources\.limits\.memory/,
    ],
    [
      'whose container cannot be made',
      waiting('CreateContainerConfigError', 'no user'),
      'PodsCrashing',
      /cannot be started: no user/,
    ],
  ])('%s says so', (_, status, reason, message) => {
    expect(podTrouble(objectOf('Pod', status))).toEqual({ reason, message: expect.stringMatching(message) })
  })

  test.each<[string, object | undefined]>([
    ['nobody has looked at', undefined],
    ['is being made', waiting('ContainerCreating', '')],
    ['runs', { phase: 'Running', containerStatuses: [{ state: { running: {} } }] }],
  ])('that %s is in no trouble', (_, status) => {
    expect(podTrouble(objectOf('Pod', status))).toBeUndefined()
  })

  test('in a loop says the same whatever it counts', () => {
    const at = (message: string) =>
      podTrouble(objectOf('Pod', waiting('CrashLoopBackOff', message, { restartCount: 1 })))
    expect(at('back-off 10s')).toEqual(at('back-off 5m0s'))
  })
})

describe('a Deployment', () => {
  const at = (...conditions: object[]) => deploymentTrouble(objectOf('Deployment', { conditions }))
  const progressing = (reason: string, status = 'False') => ({ type: 'Progressing', status, reason })

  test('that may not create pods says why', () => {
    const failure = { type: 'ReplicaFailure', status: 'True', message: 'exceeded quota' }
    expect(at(progressing('ProgressDeadlineExceeded'), failure)).toEqual({
      reason: 'PodsNotCreated',
      message: 'Deployment "x" cannot create its pods: exceeded quota',
    })
  })

  test('whose new pods do not become Ready says so', () => {
    expect(at(progressing('ProgressDeadlineExceeded'))).toMatchObject({ reason: 'RolloutStuck' })
  })

  test('that gets on is in no trouble', () => {
    expect(at()).toBeUndefined()
    expect(at(progressing('ReplicaSetUpdated', 'True'), { type: 'ReplicaFailure', status: 'False' })).toBeUndefined()
  })
})
