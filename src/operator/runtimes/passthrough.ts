import { posix } from 'node:path'
import type { AgentRuntimeSpec, Problem } from '../../api/index.ts'
import { labelsOf, OWN_PREFIX } from './owned.ts'

/** Where the operator's own files are in the runtime's container. */
export const FILES = '/etc/midflight'
export const TEMPORARY = '/tmp'

/** Volumes of every pod besides those of bundles. */
export const VOLUMES = { temporary: 'tmp', key: 'key', management: 'management', boot: 'boot' } as const
/** How the volumes of bundles begin. */
export const BUNDLE_VOLUME = 'bundle-'

/** How environment variables begin that are flags of the runtime, and so what the operator says. */
const OWN_VARIABLES = 'MIDFLIGHT_'

/** What of a spec would replace something that the operator itself gives to the pods: each names the field and the fix. */
export function clashesOf(name: string, { pod = {}, env = [] }: AgentRuntimeSpec): Problem[] {
  return [
    ...labelClashes(name, pod.labels),
    ...annotationClashes(pod.annotations),
    ...(pod.volumes ?? []).flatMap((volume, index) =>
      isOwnVolume(volume.name)
        ? [
            clash(
              `spec.pod.volumes[${index}].name`,
              `"${volume.name}" is a volume of the operator: give yours another name`,
            ),
          ]
        : [],
    ),
    ...(pod.volumeMounts ?? []).flatMap((mount, index) => mountClashes(mount, `spec.pod.volumeMounts[${index}]`)),
    ...env.flatMap((variable, index) =>
      variable.name.startsWith(OWN_VARIABLES)
        ? [clash(`spec.env[${index}].name`, `${variable.name} is set by the operator: take it out`)]
        : [],
    ),
  ]
}

const clash = (path: string, message: string): Problem => ({
  reason: 'InvalidSpec',
  message: `${path}: ${message}`,
  path,
})

function labelClashes(name: string, labels: Readonly<Record<string, string>> = {}): Problem[] {
  const own = labelsOf(name)
  return Object.entries(labels).flatMap(([key, value]) => {
    if (own[key] === value) return []
    const isOwn = key in own || key.startsWith(OWN_PREFIX) || key === 'pod-template-hash'
    return isOwn ? [clash(`spec.pod.labels`, `the label ${key} is the operator's: take it out`)] : []
  })
}

const annotationClashes = (annotations: Readonly<Record<string, string>> = {}): Problem[] =>
  Object.keys(annotations)
    .filter((key) => key.startsWith(OWN_PREFIX))
    .map((key) => clash('spec.pod.annotations', `the annotation ${key} is the operator's: take it out`))

const isOwnVolume = (name: unknown): boolean =>
  typeof name === 'string' && (Object.values<string>(VOLUMES).includes(name) || name.startsWith(BUNDLE_VOLUME))

function mountClashes({ name, mountPath }: Readonly<Record<string, unknown>>, path: string): Problem[] {
  if (isOwnVolume(name))
    return [clash(`${path}.name`, `"${name}" is a volume of the operator: mount one of spec.pod.volumes`)]
  const place = typeof mountPath === 'string' ? posix.resolve('/', mountPath) : ''
  const isTaken = place === TEMPORARY || place === FILES || place.startsWith(`${FILES}/`)
  return isTaken ? [clash(`${path}.mountPath`, `${place} is the operator's: choose another`)] : []
}
