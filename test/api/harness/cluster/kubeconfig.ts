import { writeFile } from 'node:fs/promises'
import { stringify } from 'yaml'
import type { Certificate } from '../pki.ts'

export type Credentials = { readonly token: string } | Certificate

/** Writes a kubeconfig file with one context, in namespace `default`. Files are named, not embedded. */
export async function writeKubeconfig(
  file: string,
  { url, caFile }: { url: string; caFile: string },
  credentials: Credentials,
): Promise<void> {
  const user =
    'token' in credentials
      ? { token: credentials.token }
      : { 'client-certificate': credentials.certFile, 'client-key': credentials.keyFile }
  const text = stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'harness', cluster: { server: url, 'certificate-authority': caFile } }],
    users: [{ name: 'harness', user }],
    contexts: [{ name: 'harness', context: { cluster: 'harness', user: 'harness', namespace: 'default' } }],
    'current-context': 'harness',
  })
  await writeFile(file, text, { mode: 0o600 })
}
