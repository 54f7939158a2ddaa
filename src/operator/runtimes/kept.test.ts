import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { agentRuntimeSpec } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import { mountedBy, templateFor } from './kept.ts'
import { podTemplate, type TemplateInput } from './template.ts'

type Declared = { readonly bundles?: readonly { readonly name: string; readonly configMap: string }[] }

const inputOf = (declared: Declared & Record<string, unknown> = {}, more: Partial<TemplateInput> = {}) => {
  const spec = agentRuntimeSpec.parse(declared)
  const image = { image: spec.image ?? 'midflight:1', pullPolicy: spec.imagePullPolicy }
  return { name: 'main', namespace: 'team', spec, image, bundles: spec.bundles, ...more } satisfies TemplateInput
}

/** The templates of another version of the operator: another argument, another probe. */
const otherVersion = (input: TemplateInput) => {
  const { metadata, spec } = podTemplate(input)
  const [container] = spec.containers
  const args = [...(container?.args ?? []), '--new']
  return { metadata, spec: { ...spec, containers: [{ ...container, args, livenessProbe: { periodSeconds: 7 } }] } }
}

const deployment = (annotations: Readonly<Record<string, string>>): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'main-runtime', namespace: 'team', annotations },
})
const applied = (input: TemplateInput, make = podTemplate) =>
  deployment(templateFor(undefined, input, make).annotations)
const bytes = (value: unknown) => JSON.stringify(value)
const bundles = (...listed: readonly string[]) => listed.map((name) => ({ name, configMap: `${name}-files` }))

const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}$/), { maxLength: 5 })
/** What the pods are declared to be; every pair of different values makes different pods. */
const pods = fc.record(
  {
    image: fc.constantFrom('a:1', 'a:2'),
    imagePullPolicy: fc.constantFrom('Always', 'Never'),
    resources: fc.constantFrom({ limits: { cpu: '1' } }, { requests: { cpu: 1 } }),
    serviceAccountName: fc.constantFrom('a', 'b'),
    env: fc.constantFrom([{ name: 'A', value: 'b' }], [{ name: 'B', value: '1' }]),
    drainSeconds: fc.integer({ min: 0, max: 5 }),
    pod: fc.constantFrom({ labels: { 1: 'z', a: 'b' } }, { volumes: [{ name: 'v', emptyDir: {} }] }),
    auth: fc.constantFrom({ type: 'none' }, { type: 'none', hosts: ['agents.example.com'] }),
  },
  { requiredKeys: [] },
)
/** What the pods are told while they run, and how many there are. */
const others = fc.record({
  replicas: fc.integer({ min: 0, max: 5 }),
  dynamicApi: fc.constantFrom({ enabled: true }, { enabled: false }),
})

describe('the template of a Deployment', () => {
  test('stays as it was applied, to the byte, whatever another version of the operator would make of the same', () => {
    const history = fc.array(fc.tuple(names, others, fc.constantFrom(podTemplate, otherVersion)), { maxLength: 6 })
    fc.assert(
      fc.property(pods, names, history, (declared, mounted, changes) => {
        const first = templateFor(undefined, inputOf({ ...declared, bundles: bundles(...mounted) }))
        let present = deployment(first.annotations)
        for (const [listed, other, make] of changes) {
          const now = templateFor(present, inputOf({ ...declared, ...other, bundles: bundles(...listed) }), make)
          expect(bytes(now.template)).toBe(bytes(first.template))
          expect(now.annotations).toEqual(first.annotations)
          present = deployment(now.annotations)
        }
      }),
      { numRuns: 60, seed: 61 },
    )
  })

  test('is made anew, with the bundles that are declared then, by any change of what the pods are declared to be', () => {
    fc.assert(
      fc.property(pods, pods, names, names, (before, after, mounted, listed) => {
        fc.pre(bytes(before) !== bytes(after))
        const next = inputOf({ ...after, bundles: bundles(...listed) })
        const present = applied(inputOf({ ...before, bundles: bundles(...mounted) }))
        expect(bytes(templateFor(present, next, otherVersion).template)).toBe(bytes(otherVersion(next)))
      }),
      { numRuns: 60, seed: 62 },
    )
  })

  test.each<[string, Partial<TemplateInput>]>([
    ['image', { image: { image: 'midflight:2', pullPolicy: undefined } }],
    ['pull policy', { image: { image: 'midflight:1', pullPolicy: 'Always' } }],
    ['runtime', { name: 'other' }],
    ['namespace', { namespace: 'other' }],
  ])('is made anew for another %s', (_, more) => {
    const next = inputOf({}, more)
    expect(templateFor(applied(inputOf()), next, otherVersion).template).toEqual(otherVersion(next))
  })

  test('is made anew when a bundle is declared with another ConfigMap than it is mounted from, and then only', () => {
    const long = 'b'.repeat(63)
    fc.assert(
      fc.property(names, names, fc.constantFrom(long, 'a'), fc.boolean(), (mounted, listed, name, isMoved) => {
        const present = applied(inputOf({ bundles: bundles(...new Set([...mounted, name])) }))
        const entry = { name, configMap: isMoved ? 'others' : `${name}-files` }
        const rest = bundles(...listed.filter((each) => each !== name))
        const next = inputOf({ bundles: [...rest, entry] })
        const { template } = templateFor(present, next, otherVersion)
        expect(bytes(template) === bytes(otherVersion(next))).toBe(isMoved)
      }),
      { numRuns: 60, seed: 63 },
    )
  })

  test('knows one that is kept no more from one that is broken, edited or of before: it makes all of them anew', () => {
    const input = inputOf({ bundles: bundles('a') })
    const { annotations, template } = templateFor(undefined, input)
    const { 'midflight.dev/template': text = '', 'midflight.dev/template-inputs': hash = '' } = annotations
    const records: readonly Record<string, string>[] = [
      {},
      { 'midflight.dev/template': text },
      { 'midflight.dev/template-inputs': hash },
      { ...annotations, 'midflight.dev/template': '{' },
      { ...annotations, 'midflight.dev/template': text.replace('"runtime"', '"other"') },
      { 'midflight.dev/template': '0'.repeat(32), 'midflight.dev/bundles': '[]' },
    ]
    for (const record of records) {
      const made = templateFor(deployment(record), input)
      expect(made).toEqual({ template, annotations })
    }
  })

  test('that no version could have made is made anew, though its hash is right', () => {
    const input = inputOf()
    const odd = { metadata: {}, spec: { containers: [], volumes: [] } }
    expect(
      templateFor(
        applied(input, () => odd as never),
        input,
      ).template,
    ).toEqual(podTemplate(input))
  })

  test('is not kept where it would be too long for an annotation, and is the same all the same', () => {
    const env = Array.from({ length: 8 }, (_, index) => ({ name: `A${index}`, value: 'x'.repeat(32_000) }))
    const input = inputOf({ env })
    expect(templateFor(applied(input), input)).toEqual({ template: podTemplate(input), annotations: {} })
  })
})

test('what pods mount which a Deployment starts is what its template says, whatever is declared by now', () => {
  const template = podTemplate(inputOf({ bundles: bundles('a', 'b') }))
  const running: KubeObject = { ...deployment({}), spec: { template } }
  expect([...mountedBy(running)]).toEqual([
    ['a', 'a-files'],
    ['b', 'b-files'],
  ])
  expect(mountedBy(deployment({})).size).toBe(0)
})
