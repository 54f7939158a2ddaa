import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BOOT_SLOTS, bootPartFile, type DecodedBootSet, decodeBootSet } from '../../../../src/api/index.ts'
import type { Cluster } from '../../harness/index.ts'

type Stored = { readonly metadata: { readonly name: string; readonly ownerReferences?: readonly { uid: string }[] } }
type StoredSecret = Stored & { readonly data?: Readonly<Record<string, string>> }

/** What the slots of the boot set of AgentRuntime `default` hold, by their numbers. */
export async function bootSlots(cluster: Cluster, namespace: string): Promise<ReadonlyMap<number, StoredSecret>> {
  const path = `/api/v1/namespaces/${namespace}/secrets?fieldSelector=type%3Dmidflight.dev%2Fboot-set`
  const { items } = await cluster.call<{ items: readonly StoredSecret[] }>('GET', path)
  return new Map(items.map((secret) => [Number(secret.metadata.name.replace('midflight-default-boot-', '')), secret]))
}

const partsOf = (slots: ReadonlyMap<number, StoredSecret>): [number, Buffer][] =>
  [...slots].flatMap(([slot, { data }]) => {
    const part = data?.[bootPartFile(slot)]
    return part === undefined ? [] : [[slot, Buffer.from(part, 'base64')]]
  })

/** The boot set that is there now. */
export async function bootSetOf(cluster: Cluster, namespace: string): Promise<DecodedBootSet['found']> {
  return decodeBootSet(new Map(partsOf(await bootSlots(cluster, namespace)))).found
}

/** Fills a directory as a pod finds it when it starts: one file from each slot that is there. */
export async function mountBootSet(cluster: Cluster, namespace: string, directory: string): Promise<void> {
  for (let slot = 0; slot < BOOT_SLOTS; slot += 1) await rm(join(directory, bootPartFile(slot)), { force: true })
  await mkdir(directory, { recursive: true })
  for (const [slot, part] of partsOf(await bootSlots(cluster, namespace)))
    await writeFile(join(directory, bootPartFile(slot)), part)
}

/** Fills a directory as a pod finds a mounted ConfigMap when it starts. */
export async function mountFiles(directory: string, files: Readonly<Record<string, string>>): Promise<void> {
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
}
