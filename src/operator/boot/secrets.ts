import { BOOT_SLOTS, bootPartFile } from '../../api/index.ts'
import type { KubeClient, KubeObject, ObjectName, ResourceType } from '../../kube/index.ts'
import { bootSecretName, labelsOf, ownerReference, RUNTIME_LABEL } from '../runtimes/owned.ts'

/** An AgentRuntime that owns a boot set. */
export type BootOwner = { readonly namespace: string; readonly name: string; readonly uid: string }

/** A slot that is there: its file, and the version of its Secret. */
export type Slot = { readonly bytes: Uint8Array; readonly resourceVersion: string }

/** The Secrets that hold the parts of boot sets. */
export interface BootSecrets {
  /** Every slot of an AgentRuntime that is there, by its number. */
  read(runtime: ObjectName, signal: AbortSignal): Promise<ReadonlyMap<number, Slot>>
  /** @returns the resourceVersion that was written */
  write(owner: BootOwner, slot: number, part: Uint8Array, signal: AbortSignal): Promise<string>
  /** It need not be there. */
  remove(runtime: ObjectName, slot: number, signal: AbortSignal): Promise<void>
}

const SECRETS: ResourceType = { group: '', version: 'v1', plural: 'secrets', kind: 'Secret', namespaced: true }
export const BOOT_SECRET_TYPE = 'midflight.dev/boot-set'
const FIELD_MANAGER = 'midflight'

export function createBootSecrets(client: Pick<KubeClient, 'list' | 'patch' | 'delete'>): BootSecrets {
  return {
    read: async ({ namespace, name }, signal) => {
      const selection = { labelSelector: `${RUNTIME_LABEL}=${name}`, fieldSelector: `type=${BOOT_SECRET_TYPE}` }
      const { items } = await client.list(SECRETS, { namespace, ...selection }, signal)
      const slots = Array.from({ length: BOOT_SLOTS }, (_, slot) => slot)
      return new Map(
        slots.flatMap((slot) => {
          const secret = items.find(({ metadata }) => metadata.name === bootSecretName(name, slot))
          return secret === undefined ? [] : [[slot, slotOf(secret, slot)] as const]
        }),
      )
    },
    write: async (owner, slot, part, signal) => {
      const { namespace } = owner
      const name = bootSecretName(owner.name, slot)
      const body = {
        apiVersion: 'v1',
        kind: SECRETS.kind,
        metadata: { namespace, name, labels: labelsOf(owner.name), ownerReferences: [ownerReference(owner)] },
        type: BOOT_SECRET_TYPE,
        data: { [bootPartFile(slot)]: Buffer.from(part).toString('base64') },
      }
      const patch = { type: 'apply', body, fieldManager: FIELD_MANAGER, force: true } as const
      const { metadata } = await client.patch(SECRETS, { namespace, name }, patch, signal)
      return metadata.resourceVersion ?? ''
    },
    remove: ({ namespace, name }, slot, signal) =>
      client.delete(SECRETS, { namespace, name: bootSecretName(name, slot) }, {}, signal),
  }
}

function slotOf({ data, metadata }: KubeObject, slot: number): Slot {
  const text = typeof data === 'object' && data !== null ? Object.entries(data) : []
  const [, part] = text.find(([key]) => key === bootPartFile(slot)) ?? []
  return {
    bytes: Buffer.from(typeof part === 'string' ? part : '', 'base64'),
    resourceVersion: metadata.resourceVersion ?? '',
  }
}
