import { createLog } from '../../../log.ts'
import { FakeLoader, loadModel } from '../../registry/registry.fixture.ts'
import { Registry } from '../../registry/registry.ts'
import { type SecretSource, serve, type TlsFiles } from '../index.ts'
import type { ServedCertificate } from '../tls.ts'
import { createManagementApp, type ManagementDeps } from './app.ts'

export const TOKEN = 'right-token'

/** A registry behind the management protocol, over real HTTP on a free port. */
export type TestManagement = {
  readonly registry: Registry
  readonly url: string
  readonly logged: () => string
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Response>
  post(body: unknown, headers?: Readonly<Record<string, string>>): Promise<Response>
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

type Options = Pick<ManagementDeps, 'timing'> & {
  readonly tokens?: SecretSource
  readonly tls?: TlsFiles
  readonly bootId?: string
}

export async function startManagement(options: Options = {}): Promise<TestManagement> {
  const { tokens = () => [TOKEN], tls, timing = {}, bootId = 'boot' } = options
  const stopping = new AbortController()
  const { signal } = stopping
  const lines: string[] = []
  const log = createLog({ level: 'debug', format: 'json', destination: { write: (line) => void lines.push(line) } })
  const registry = new Registry({ bootId, podUid: 'pod-7', loadModel, loadBundle: new FakeLoader().load })
  let certificate: ServedCertificate | undefined
  const onCertificate = (next: ServedCertificate) => {
    certificate = next
  }
  const served = { tokens, certificate: () => certificate }
  const app = createManagementApp({ management: registry, ...served, log, signal, timing })
  const serving = await serve({ app, host: '127.0.0.1', port: 0, signal, drainMs: 200, tls, onCertificate })
  const call = (path: string, init: RequestInit, headers: Readonly<Record<string, string>>) =>
    fetch(`${serving.url}/management/v1/${path}`, {
      ...init,
      headers: { authorization: `Bearer ${TOKEN}`, ...headers },
    })
  const stop = async (): Promise<void> => {
    stopping.abort()
    await serving.closed
  }
  return {
    registry,
    url: serving.url,
    logged: () => lines.join(''),
    get: (path, headers = {}) => call(path, {}, headers),
    post: (body, headers = {}) => {
      const sent = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
      return call('apply', { method: 'POST', body: sent as string }, { 'content-type': 'application/json', ...headers })
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
