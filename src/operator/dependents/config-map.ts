import type { KubeObject } from '../../kube/types.ts'

/** The files of a ConfigMap: a key each, as a mount would show them. What is no text is left out. */
export const configMapFiles = (object: KubeObject): Map<string, Buffer> =>
  new Map([
    ...entriesOf(object.data).map(([key, text]) => [key, Buffer.from(text)] as const),
    ...entriesOf(object.binaryData).map(([key, text]) => [key, Buffer.from(text, 'base64')] as const),
  ])

/** The values of a Secret as the API server sends it. */
export const secretData = (object: KubeObject): Map<string, Buffer> =>
  new Map(entriesOf(object.data).map(([key, text]) => [key, Buffer.from(text, 'base64')] as const))

const entriesOf = (map: unknown): [string, string][] =>
  typeof map === 'object' && map !== null
    ? Object.entries(map).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
    : []
