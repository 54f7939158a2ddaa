import { type SecretKeyRef, secretId } from '../api/index.ts'
import type { KubeObject } from '../kube/types.ts'
import type { SecretSource } from '../operator/index.ts'
import { secretValue } from './source/config-data.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** `{name: llm, key: openai}` → `LLM_OPENAI`: where a secret is looked for when no manifest has it. */
export const environmentName = ({ name, key }: SecretKeyRef): string =>
  `${name}_${key}`.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')

/**
 * Secrets of dev mode: a key of a Secret manifest, else an environment variable. An empty value counts as none. The
 * version counts changes and tells nothing about the value.
 * @param find the Secret manifest of that name
 */
export function createSecrets(find: (name: string) => KubeObject | undefined, environment: Environment): SecretSource {
  const versions = new Map<string, { version: number; value: string }>()
  return {
    async read(ref) {
      const manifest = find(ref.name)
      const value = (manifest && secretValue(manifest, ref.key)) || environment[environmentName(ref)]
      if (value === undefined || value === '') return undefined
      const before = versions.get(secretId(ref))
      const version = before === undefined ? 1 : before.version + (before.value === value ? 0 : 1)
      versions.set(secretId(ref), { version, value })
      return { version: String(version), value }
    },
  }
}
