import { z } from 'zod'
import { clusterFlags } from '../cluster/config.ts'
import { text, UsageError } from '../config.ts'

export const chatConfig = z.object({
  url: z
    .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
    .transform((url) => url.replace(/\/+$/, ''))
    .optional(),
  authKeyFile: text.optional(),
  message: text.optional(),
  session: text.optional(),
  runtime: text.optional(),
  ...clusterFlags,
})
export type ChatConfig = z.output<typeof chatConfig>

/** Where what is talked to runs. */
export type ChatPlace =
  | { readonly type: 'url'; readonly url: string; readonly isDefault: boolean }
  | { readonly type: 'cluster' }

const LOCAL = 'http://127.0.0.1:7777'

/**
 * `--url` says where; any flag of a cluster says that it is in the cluster; neither, that it runs on this machine.
 * @throws UsageError for both
 */
export function placeOf(config: ChatConfig): ChatPlace {
  const { url, namespace, context, kubeconfig, runtime } = config
  const flag = Object.entries({ namespace, context, kubeconfig, runtime }).find(([, value]) => value !== undefined)?.[0]
  if (url !== undefined && flag !== undefined)
    throw new UsageError(`--url and --${flag} cannot go together: a URL is called as it is, not through a cluster`)
  if (flag !== undefined) return { type: 'cluster' }
  return { type: 'url', url: url ?? LOCAL, isDefault: url === undefined }
}
