import { type Duplex, PassThrough } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import { type Clock, systemClock } from '../../clock.ts'
import { ApiError } from '../types.ts'
import { createAccess } from './access.ts'
import type { Access, ClusterConfig } from './config.ts'
import { failureOf, unanswered } from './failure.ts'

/** A port inside of a pod. */
export type PodPort = { readonly namespace: string; readonly pod: string; readonly port: number }

/**
 * Carries the bytes of `stream` to a pod's port and back, through the API server, until either side ends; then `stream`
 * is ended, or destroyed with an ApiError that says what the kubelet said. Resolves when the API server has accepted it.
 * @throws ApiError 403 without the right to `pods/portforward`, 404 for a pod that is not there
 */
export type PortForwarder = (stream: Duplex, target: PodPort) => Promise<void>

/** Loads `@kubernetes/client-node` with the first stream, which costs 350 ms and 80 MB. */
export function createPortForwarder(config: ClusterConfig, clock: Clock = systemClock): PortForwarder {
  const access = createAccess(config, clock)
  return async (stream, { namespace, pod, port }) => {
    const { KubeConfig: Config, PortForward } = await import('@kubernetes/client-node')
    const forward = new PortForward(configure(new Config(), config.server, await access.read()))
    const said = new PassThrough()
    said.on('data', (text: Buffer) => stream.destroy(refusedBy(pod, port, text.toString())))
    try {
      const socket = await forward.portForward(namespace, pod, [port], stream, said, stream)
      if (typeof socket === 'function') return
      socket.on('close', () => stream.end())
      stream.once('close', () => socket.close())
      // A socket that is closing takes no more bytes; its end is told by `close`.
      socket.on('error', () => stream.destroy(unanswered('ConnectionLost', `the connection to pod ${pod} was lost`)))
    } catch (error) {
      throw refusalOf(error, new URL(config.server).host, pod)
    }
  }
}

function configure(kubeconfig: KubeConfig, server: string, { tls, headers }: Access): KubeConfig {
  const { authorization = '' } = headers
  const [scheme, value = ''] = authorization.split(' ')
  const [username, password] = Buffer.from(value, 'base64').toString().split(':')
  const base64 = (pem: string) => Buffer.from(pem).toString('base64')
  const impersonateUser = headers['impersonate-user']
  kubeconfig.loadFromClusterAndUser(
    {
      name: 'cluster',
      server: server.replace(/\/+$/, ''),
      skipTLSVerify: tls.skipVerify === true || server.startsWith('http://'),
      ...(tls.ca === undefined ? {} : { caData: base64(tls.ca) }),
      ...(tls.serverName === undefined ? {} : { tlsServerName: tls.serverName }),
    },
    {
      name: 'user',
      ...(scheme === 'Bearer' ? { token: value } : {}),
      ...(scheme === 'Basic' && username !== undefined ? { username, password: password ?? '' } : {}),
      ...(tls.cert === undefined ? {} : { certData: base64(tls.cert) }),
      ...(tls.key === undefined ? {} : { keyData: base64(tls.key) }),
      ...(impersonateUser === undefined ? {} : { impersonateUser }),
    },
  )
  return kubeconfig
}

/** The kubelet's words, as `dial tcp4 127.0.0.1:7777: connect: connection refused`. */
const refusedBy = (pod: string, port: number, text: string): ApiError =>
  unanswered('Unreachable', `port ${port} of pod ${pod} does not answer: ${text.trim().slice(0, 512)}`)

/** A WebSocket that was refused tells its status in words only. */
function refusalOf(event: unknown, host: string, pod: string): ApiError {
  const error = typeof event === 'object' && event !== null && 'error' in event ? event.error : event
  const status = /Unexpected server response: (\d{3})/.exec(error instanceof Error ? error.message : '')?.[1]
  if (status === undefined) return failureOf(error, host)
  const code = Number(status)
  const { reason, message } = REFUSALS[code] ?? OTHER
  return new ApiError({ code, reason, message: `pod ${pod}: ${message}` })
}

const REFUSALS: Readonly<Record<number, { readonly reason: string; readonly message: string }>> = {
  401: { reason: 'Unauthorized', message: 'the API server does not know who you are' },
  403: {
    reason: 'Forbidden',
    message: 'the port-forward is forbidden: it takes the verbs get and create on pods/portforward',
  },
  404: { reason: 'NotFound', message: 'is not there any more' },
}
const OTHER = { reason: 'Unknown', message: 'the API server cannot reach its kubelet' }
