import { BOOT_SLOTS, bootPartFile } from '../../api/index.ts'
import type { KubeClient, KubeObject, ObjectName, ResourceType } from '../../kube/index.ts'
import { bootSecretName, labelsOf, ownerReference, RUNTIME_LABEL } from '../runtimes/owned.ts'

/** An AgentRuntime that owns a boot set. */
export type BootOwner = { readonly namespace: string; readonly name: string; readonly uid: string }

/** Of the Secret of a slot: together they tell it from all before and after it. */
export type SlotVersion = { readonly uid: string; readonly resourceVersion: string }

/** A slot that is there, with its file. */
export type Slot = SlotVersion & { readonly bytes: Uint8Array }

export type SlotWrite = {
  readonly slot: number
  readonly bytes: Uint8Array
  /** The version that it replaces; undefined where there is none. */
  readonly over: SlotVersion | undefined
}

/**
 * The Secrets that hold the parts of boot sets. A write says what it replaces: one that was long on its way, as that of a
 * former leader, does nothing to what was written since. Where that is something else, an `ApiError` with code 409 says so.
 */
export interface BootSecrets {
  /** Every slot of an AgentRuntime that is there, by its number. */
  read(runtime: ObjectName, signal: AbortSignal): Promise<ReadonlyMap<number, Slot>>
  /** @returns what was written */
  write(owner: BootOwner, write: SlotWrite, signal: AbortSignal): Promise<SlotVersion>
  /** It need not be there. */
  remove(
    runtime: ObjectName,
    slot: { readonly slot: number; readonly over: SlotVersion },
    signal: AbortSignal,
  ): Promise<void>
}

const SECRETS: ResourceType = { group: '', version: 'v1', plural: 'secrets', kind: 'Secret', namespaced: true }
export const BOOT_SECRET_TYPE = 'midflight.dev/boot-set'
const FIELD_MANAGER = 'midflight'

export function createBootSecrets(client: Pick<KubeClient, 'list' | 'create' | 'patch' | 'delete'>): BootSecrets {
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
    write: async (owner, write, signal) => {
      const { namespace } = owner
      const body = secretOf(owner, write)
      const { metadata } =
        write.over === undefined
          ? await client.create(SECRETS, body, signal)
          : await client.patch(SECRETS, { namespace, name: body.metadata.name }, applied(body), signal)
      return versionOf(metadata)
    },
    remove: ({ namespace, name }, { slot, over }, signal) =>
      client.delete(SECRETS, { namespace, name: bootSecretName(name, slot) }, over, signal),
  }
}

function secretOf(owner: BootOwner, { slot, bytes, over }: SlotWrite) {
  return {
    apiVersion: 'v1',
    kind: SECRETS.kind,
    metadata: {
      ...{ namespace: owner.namespace, name: bootSecretName(owner.name, slot) },
      ...{ labels: labelsOf(owner.name), ownerReferences: [ownerReference(owner)] },
      // An apply creates what is gone, whatever the resourceVersion: only the uid keeps it from that.
      ...over,
    },
    type: BOOT_SECRET_TYPE,
    data: { [bootPartFile(slot)]: Buffer.from(bytes).toString('base64') },
  }
}

const applied = (body: object) => ({ type: 'apply', body, fieldManager: FIELD_MANAGER, force: true }) as const

function slotOf({ data, metadata }: KubeObject, slot: number): Slot {
  const text = typeof data === 'object' && data !== null ? Object.entries(data) : []
  const [, part] = text.find(([key]) => key === bootPartFile(slot)) ?? []
  return {
    bytes: Buffer.from(typeof part === 'string' ? part : '', 'base64'),
    ...versionOf(metadata),
  }
}

const versionOf = ({ uid = '', resourceVersion = '' }: KubeObject['metadata']): SlotVersion => ({
  uid,
  resourceVersion,
})
