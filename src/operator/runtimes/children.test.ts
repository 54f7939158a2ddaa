import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { plan, pods, templateOf, wanted } from './children.fixture.ts'
import { CHILD_KINDS } from './owned.ts'

const bundles = (...names: string[]) => names.map((name) => ({ name, configMap: `${name}-files` }))
const LABELS = {
  'app.kubernetes.io/name': 'midflight-runtime',
  'app.kubernetes.io/instance': 'main',
  'app.kubernetes.io/managed-by': 'midflight',
  'midflight.dev/runtime': 'main',
}

describe('what an AgentRuntime is made of', () => {
  test('is its own, by labels and owner, and goes with it', () => {
    const children = plan({ spec: { replicas: 2 } })
    for (const kind of CHILD_KINDS) {
      const { metadata } = wanted(children, kind)
      expect(metadata).toMatchObject({ namespace: 'team', name: 'main-runtime', labels: LABELS })
      const owner = { apiVersion: 'midflight.dev/v1alpha1', kind: 'AgentRuntime', name: 'main', uid: 'uid-1' }
      expect(metadata.ownerReferences).toEqual([{ ...owner, controller: true, blockOwnerDeletion: true }])
    }
  })

  test('has a Service of port 7777 that keeps a caller at one pod', () => {
    expect(wanted(plan(), 'Service').spec).toEqual({
      selector: { 'midflight.dev/runtime': 'main' },
      sessionAffinity: 'ClientIP',
      ports: [{ name: 'http', port: 7777, targetPort: 'http', protocol: 'TCP' }],
    })
  })

  test('has a NetworkPolicy that lets only the operator to port 7778', () => {
    const policy = (isInCluster: boolean) =>
      wanted(plan({ installation: { isInCluster } }), 'NetworkPolicy').spec as { ingress: readonly object[] }
    const operator = {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'midflight' } },
      podSelector: {
        matchLabels: { 'app.kubernetes.io/name': 'midflight', 'app.kubernetes.io/component': 'operator' },
      },
    }
    const tcp = (...ports: number[]) => ports.map((port) => ({ port, protocol: 'TCP' }))
    expect(policy(true)).toEqual({
      podSelector: { matchLabels: { 'midflight.dev/runtime': 'main' } },
      policyTypes: ['Ingress'],
      ingress: [{ ports: tcp(7777, 9464) }, { ports: tcp(7778), from: [operator] }],
    })
    expect(policy(false).ingress[1]).toEqual({ ports: tcp(7778) })
  })

  test.each([
    [0, 'delete'],
    [1, 'delete'],
    [2, 'apply'],
  ])('has with %i replicas a disruption budget: %s', (replicas, type) => {
    expect(plan({ spec: { replicas } }).intents.PodDisruptionBudget.type).toBe(type)
  })

  test('has a disruption budget that lets go of one pod at a time, and of any that is not Ready', () => {
    expect(wanted(plan({ spec: { replicas: 2 } }), 'PodDisruptionBudget').spec).toEqual({
      ...{ maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow' },
      selector: { matchLabels: { 'midflight.dev/runtime': 'main' } },
    })
  })

  test('has a ServiceAccount without a token, until it is given another that its pods use', () => {
    expect(wanted(plan(), 'ServiceAccount').automountServiceAccountToken).toBe(false)
    const spec = { serviceAccountName: 'cloud' }
    const before = wanted(plan(), 'Deployment')
    expect(plan({ spec, present: before }).intents.ServiceAccount).toEqual({ type: 'keep' })
    const after = wanted(plan({ spec }), 'Deployment')
    expect(plan({ spec, present: after }).intents.ServiceAccount).toEqual({ type: 'delete' })
  })

  test('has a Deployment that replaces pods one after the other, each before the one that it is for', () => {
    expect(wanted(plan({ spec: { replicas: 3 } }), 'Deployment').spec).toMatchObject({
      replicas: 3,
      selector: { matchLabels: { 'midflight.dev/runtime': 'main' } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: 0 } },
    })
  })
})

describe('a pod', () => {
  const container = (spec: object = {}) => pods(spec).spec.containers[0]

  test('is started with everything that the runtime needs', () => {
    expect(container({ bundles: bundles('support'), drainSeconds: 20 }).args.join(' ')).toBe(
      'runtime --host :: --auth-key-file /etc/midflight/key/key --management-host :: ' +
        '--management-token-file /etc/midflight/management/token --management-token-file /etc/midflight/management/nextToken ' +
        '--management-cert /etc/midflight/management/tls.crt --management-key /etc/midflight/management/tls.key ' +
        '--boot-set /etc/midflight/boot --drain-seconds 20 --bundle support=/etc/midflight/bundles/support',
    )
  })

  test('is let end for as long as runs may go on', () => {
    expect(pods().spec.terminationGracePeriodSeconds).toBe(350)
    expect(pods({ drainSeconds: 0 }).spec.terminationGracePeriodSeconds).toBe(50)
    expect(container().lifecycle).toEqual({ preStop: { sleep: { seconds: 5 } } })
  })

  test('has time within that for its metrics to be scraped once more, and a place for its last words', () => {
    const { env, terminationMessagePath } = container()
    expect(env).toContainEqual({ name: 'MIDFLIGHT_FINAL_SCRAPE_SECONDS', value: '35' })
    expect(env).toContainEqual({ name: 'MIDFLIGHT_TERMINATION_LOG', value: terminationMessagePath })
  })

  test('keeps to what a restricted namespace asks for', () => {
    expect(pods().spec).toMatchObject({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    })
    expect(container().securityContext).toEqual({
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    })
  })

  test('mounts each bundle as a directory, whether its ConfigMap is there or not, under a name that fits', () => {
    const long = 'b'.repeat(63)
    const { volumes, containers } = pods({ bundles: bundles('support', long) }).spec
    expect(volumes).toContainEqual({ name: 'bundle-support', configMap: { name: 'support-files', optional: true } })
    const names = volumes.map(({ name }) => name)
    expect(Math.max(...names.map(({ length }) => length))).toBeLessThanOrEqual(63)
    expect(containers[0].volumeMounts).toContainEqual({
      name: names.at(-1),
      mountPath: `/etc/midflight/bundles/${long}`,
      readOnly: true,
    })
    expect(JSON.stringify(containers)).not.toContain('subPath')
  })

  test('mounts the boot set as one volume of eight Secrets, none of which need be there', () => {
    const boot = pods().spec.volumes.find(({ name }) => name === 'boot') as unknown as {
      projected: { sources: readonly { secret: object }[] }
    }
    expect(boot.projected.sources).toHaveLength(8)
    expect(boot.projected.sources[7]).toEqual({
      secret: { name: 'midflight-main-boot-7', optional: true, items: [{ key: 'part-7', path: 'part-7' }] },
    })
  })

  test('has no key where everybody may call', () => {
    const { volumes, containers } = pods({ auth: { type: 'none' } }).spec
    expect(containers[0].args.join(' ')).toContain(
      '--insecure-no-auth --allow-host main-runtime --allow-host main-runtime.team ' +
        '--allow-host main-runtime.team.svc --allow-host main-runtime.team.svc.cluster.local',
    )
    expect([...volumes, ...containers[0].volumeMounts].map(({ name }) => name)).not.toContain('key')
  })

  test('is reached without a key under further names that are declared, besides those of its Service', () => {
    const hostsOf = (auth: object) =>
      container({ auth }).args.flatMap((each, index, all) => (all[index - 1] === '--allow-host' ? [each] : []))
    const own = hostsOf({ type: 'none' })
    expect(own).toHaveLength(4)
    const inDomain = 'main-runtime.team.svc.corp.example'
    expect(hostsOf({ type: 'none', hosts: ['agents.example.com', inDomain, 'main-runtime'] })).toEqual([
      ...own,
      'agents.example.com',
      inDomain,
    ])
    expect(hostsOf({ type: 'key' })).toEqual([])
  })

  const OWN = ['POD_UID', 'FINAL_SCRAPE_SECONDS', 'TERMINATION_LOG'].map((name) => ({ name: `MIDFLIGHT_${name}` }))
  const FROM_SECRET = { name: 'A', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }
  test.each<[string, object, object]>([
    ['image', {}, { image: 'midflight:1', imagePullPolicy: 'IfNotPresent' }],
    ['image', { imagePullPolicy: 'Never' }, { image: 'midflight:1', imagePullPolicy: 'Never' }],
    ['image', { image: 'mine:2' }, { image: 'mine:2', imagePullPolicy: undefined }],
    ['image', { image: 'mine:2', imagePullPolicy: 'Always' }, { image: 'mine:2', imagePullPolicy: 'Always' }],
    ['resources', { resources: { limits: { cpu: 1 } } }, { resources: { limits: { cpu: 1 } } }],
    ['resources', { resources: { requests: { cpu: '5m' } } }, { resources: { requests: { cpu: '5m' } } }],
    ['env', { env: [{ name: 'A', value: 'b' }] }, { env: [...OWN, { name: 'A', value: 'b' }] }],
    ['env', { env: [FROM_SECRET] }, { env: [...OWN, FROM_SECRET] }],
  ])('has in its container the %s of %j', (...[, spec, expected]) => {
    const { image, imagePullPolicy, resources, env } = container(spec)
    expect({ image, imagePullPolicy, resources, env }).toMatchObject(expected)
  })

  test.each<[string, unknown]>([
    ['imagePullSecrets', [{ name: 'registry' }]],
    ['nodeSelector', { disk: 'ssd' }],
    ['tolerations', [{ key: 'gpu', operator: 'Exists' }]],
    ['affinity', { podAntiAffinity: {} }],
    ['topologySpreadConstraints', [{ maxSkew: 1 }]],
    ['priorityClassName', 'high'],
  ])('has what spec.pod.%s says', (field, value) => {
    expect(pods({ pod: { [field]: value } }).spec[field]).toEqual(value)
    expect(pods().spec).not.toHaveProperty(field)
  })

  test('has the labels, annotations, volumes and mounts that are passed on besides its own', () => {
    const pod = {
      labels: { team: 'a' },
      annotations: { note: 'b' },
      volumes: [{ name: 'cache', emptyDir: {} }],
      volumeMounts: [{ name: 'cache', mountPath: '/cache' }],
    }
    const { metadata, spec } = pods({ pod })
    expect(metadata).toEqual({ labels: { ...LABELS, team: 'a' }, annotations: { note: 'b' } })
    expect(spec.volumes).toContainEqual(pod.volumes[0])
    expect(spec.containers[0].volumeMounts).toContainEqual(pod.volumeMounts[0])
    expect(spec.volumes.map(({ name }) => name)).toContain('boot')
  })
})

describe('what would replace something of the operator', () => {
  test.each<[object, string]>([
    [{ pod: { labels: { 'midflight.dev/runtime': 'x' } } }, 'spec.pod.labels'],
    [{ pod: { labels: { 'app.kubernetes.io/name': 'x' } } }, 'spec.pod.labels'],
    [{ pod: { labels: { 'pod-template-hash': 'x' } } }, 'spec.pod.labels'],
    [{ pod: { annotations: { 'midflight.dev/x': 'x' } } }, 'spec.pod.annotations'],
    [{ pod: { volumes: [{ name: 'a' }, { name: 'management' }] } }, 'spec.pod.volumes[1].name'],
    [{ pod: { volumes: [{ name: 'bundle-x' }] } }, 'spec.pod.volumes[0].name'],
    [{ pod: { volumeMounts: [{ name: 'key', mountPath: '/a' }] } }, 'spec.pod.volumeMounts[0].name'],
    [{ pod: { volumeMounts: [{ name: 'a', mountPath: '/tmp/' }] } }, 'spec.pod.volumeMounts[0].mountPath'],
    [
      { pod: { volumeMounts: [{ name: 'a', mountPath: '/etc/x/../midflight/key' }] } },
      'spec.pod.volumeMounts[0].mountPath',
    ],
    [{ env: [{ name: 'MIDFLIGHT_PORT', value: '1' }] }, 'spec.env[0].name'],
  ])('%j is refused and named, and the Deployment stays as it is', (spec, path) => {
    const { problems, intents } = plan({ spec })
    expect(problems).toMatchObject([{ reason: 'InvalidSpec', path, message: expect.stringContaining(path) }])
    expect(intents.Deployment).toEqual({ type: 'keep' })
    expect(intents.Service.type).toBe('apply')
  })

  test('is not a label that says what it says anyway', () => {
    expect(plan({ spec: { pod: { labels: { 'midflight.dev/runtime': 'main' } } } }).problems).toEqual([])
  })

  test('no image at all is told with both that could name one', () => {
    const { problems, intents } = plan({ installation: { image: undefined } })
    expect(problems).toMatchObject([{ reason: 'InvalidSpec', path: 'spec.image' }])
    expect(problems[0]?.message).toContain('--runtime-image')
    expect(intents.Deployment).toEqual({ type: 'keep' })
  })
})

const bundleNames = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}$/), { maxLength: 5 })
const specs = fc.record({
  replicas: fc.integer({ min: 0, max: 5 }),
  image: fc.constantFrom('a:1', 'a:2'),
  env: fc.constantFrom([], [{ name: 'A', value: 'b' }]),
})

describe('whatever is declared:', () => {
  test('the same input gives the same bytes, whatever the order of the fields', () => {
    fc.assert(
      fc.property(specs, bundleNames, (spec, listed) => {
        const declared = { ...spec, bundles: bundles(...listed) }
        const turned = Object.fromEntries(Object.entries(declared).reverse())
        expect(JSON.stringify(plan({ spec: turned }))).toBe(JSON.stringify(plan({ spec: declared })))
      }),
      { numRuns: 30, seed: 51 },
    )
  })

  test('bundles that come and go, and another number of replicas, change nothing of the pods that there are', () => {
    fc.assert(
      fc.property(specs, fc.array(fc.tuple(bundleNames, fc.integer({ min: 0, max: 9 }))), (spec, changes) => {
        let present = wanted(plan({ spec }), 'Deployment')
        const first = JSON.stringify(templateOf(present))
        for (const [listed, replicas] of changes) {
          present = wanted(plan({ spec: { ...spec, bundles: bundles(...listed), replicas }, present }), 'Deployment')
          expect(JSON.stringify(templateOf(present))).toBe(first)
          expect(present.spec).toMatchObject({ replicas })
        }
      }),
      { numRuns: 30, seed: 52 },
    )
  })

  test('a bundle that is mounted from another ConfigMap than it is declared with is mounted anew', () => {
    const before = { bundles: bundles('a', 'b') }
    const present = wanted(plan({ spec: before }), 'Deployment')
    const moved = { bundles: [{ name: 'a', configMap: 'others' }, ...bundles('c')] }
    expect(pods(moved, { present })).toEqual(pods(moved))
    expect(pods({ bundles: bundles('b', 'c') }, { present })).toEqual(pods(before))
  })

  test('what else changes of the pods takes the bundles that are declared then', () => {
    fc.assert(
      fc.property(specs, bundleNames, bundleNames, (spec, before, after) => {
        const present = wanted(plan({ spec: { ...spec, bundles: bundles(...before) } }), 'Deployment')
        const next = { ...spec, image: 'b:1', bundles: bundles(...after) }
        expect(pods(next, { present })).toEqual(pods(next))
      }),
      { numRuns: 30, seed: 53 },
    )
  })
})
