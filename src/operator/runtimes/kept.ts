import { z } from 'zod'
import { hashJson, MANAGED_FIELDS } from '../../api/index.ts'
import type { KubeObject } from '../../kube/types.ts'
import { bundleMountedAt, podTemplate, type TemplateInput } from './template.ts'

/** Of a Deployment: the template of its pods as it was applied, and the hash of that and of what it was made from. */
export const TEMPLATE = 'midflight.dev/template'
export const TEMPLATE_INPUTS = 'midflight.dev/template-inputs'

/** Longest template that is kept, in bytes: all annotations of an object may have 256 KiB (Kubernetes' own limit). */
const MAX_KEPT_BYTES = 192 * 1024

export type Template = {
  /** What the Deployment is to have. */
  readonly template: object
  /** What the Deployment keeps of it. */
  readonly annotations: Readonly<Record<string, string>>
}

/** What is read of a template that another version of this operator may have made. */
const keptTemplate = z.looseObject({
  metadata: z.looseObject({}),
  spec: z.looseObject({
    containers: z.tuple([
      z.looseObject({
        image: z.string(),
        volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })),
      }),
    ]),
    volumes: z.array(
      z.looseObject({ name: z.string(), configMap: z.looseObject({ name: z.string().optional() }).optional() }),
    ),
  }),
})
type KeptTemplate = z.output<typeof keptTemplate>

/**
 * The template of a Deployment's pods: the one that was applied, word for word, as long as it was made from the same,
 * else a new one. So pods are rolled by what is declared, and by no other version of the operator. Bundles that come or
 * go leave it as it is; one that is mounted from another ConfigMap than it is declared with does not: to a pod that
 * starts the files of the former one would be news, and to any pod each edit of them, and serve. (What a label selects
 * has no mount, and one that is left over under its name does not serve.)
 * @param present the Deployment as it is
 * @param make what makes a new one
 */
export function templateFor(
  present: KubeObject | undefined,
  input: TemplateInput,
  make: (input: TemplateInput) => object = podTemplate,
): Template {
  const inputs = inputsOf(input)
  const kept = keptIn(present, inputs)
  if (kept !== undefined && !isMovedIn(kept.template, input)) return kept
  const template = make(input)
  return { template, annotations: annotationsOf(JSON.stringify(template), inputs) }
}

/** Everything that decides the pods, but for their bundles. */
function inputsOf({ name, namespace, spec, image: { image, pullPolicy } }: TemplateInput): object {
  const pods = Object.fromEntries(MANAGED_FIELDS.map((field) => [field, spec[field]]))
  return { runtime: { name, namespace }, pods: { ...pods, image, imagePullPolicy: pullPolicy } }
}

/** Empty for what would be too long: then it is made anew each time. */
function annotationsOf(text: string, inputs: object): Template['annotations'] {
  if (Buffer.byteLength(text) > MAX_KEPT_BYTES) return {}
  // The template too: one that somebody edits here is none.
  return { [TEMPLATE]: text, [TEMPLATE_INPUTS]: hashJson({ inputs, template: text }) }
}

/** What a Deployment keeps, when that was made from these inputs. */
function keptIn(present: KubeObject | undefined, inputs: object) {
  const text = present?.metadata.annotations?.[TEMPLATE]
  if (text === undefined) return undefined
  const annotations = annotationsOf(text, inputs)
  if (present?.metadata.annotations?.[TEMPLATE_INPUTS] !== annotations[TEMPLATE_INPUTS]) return undefined
  const template = templateIn(text)
  return template && { template, annotations }
}

function templateIn(text: string): KeptTemplate | undefined {
  try {
    const template: unknown = JSON.parse(text)
    // Its own order of fields, not that of the schema.
    return keptTemplate.safeParse(template).success ? (template as KeptTemplate) : undefined
  } catch {
    return undefined
  }
}

/**
 * The ConfigMaps of bundles that pods mount which a Deployment starts, by bundle: those that were declared when its
 * template was made. None where that cannot be read.
 */
export function mountedBy({ spec }: KubeObject): ReadonlyMap<string, string | undefined> {
  const template = keptTemplate.safeParse((spec as { readonly template?: unknown } | undefined)?.template)
  return template.success ? mountsIn(template.data) : new Map()
}

function mountsIn({ spec }: KeptTemplate): ReadonlyMap<string, string | undefined> {
  const configMaps = new Map(spec.volumes.map(({ name, configMap }) => [name, configMap?.name]))
  return new Map(
    spec.containers[0].volumeMounts.flatMap(({ name, mountPath }) => {
      const bundle = bundleMountedAt(mountPath)
      return bundle === undefined ? [] : [[bundle, configMaps.get(name)] as const]
    }),
  )
}

/** Whether a bundle is mounted from another ConfigMap than it is declared with. */
function isMovedIn(template: KeptTemplate, { bundles }: TemplateInput): boolean {
  const mounts = mountsIn(template)
  return bundles.some(({ name, configMap }) => mounts.has(name) && mounts.get(name) !== configMap)
}
