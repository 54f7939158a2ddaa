import { buildConnector, Client, Pool } from 'undici'
import { includesTrust, type TlsTrust } from './trusted-pems.ts'

const CONNECT_MS = 1000
/** One for the state, the others so that a load of tools that takes long holds up no other call. */
const REQUEST_CONNECTIONS = 3

/** Events have a connection of their own, so that they neither wait nor hold up. Time limits are set by the callers. */
type Connections = { readonly requests: Pool; readonly streams: Client }

/**
 * Connections to one pod that follow what is trusted: new ones are verified against what is trusted then, and those
 * that are open stay as long as all that they were verified against still is. Else they are made anew: calls that are
 * under way end as they would, the event stream breaks off and is taken up again.
 */
export class PodConnections {
  readonly #address: string
  readonly #tls: (() => TlsTrust) | undefined
  #now: Connections
  #verified: TlsTrust | undefined

  constructor(address: string, tls: (() => TlsTrust) | undefined) {
    this.#address = address
    this.#tls = tls
    this.#verified = tls?.()
    this.#now = this.#open()
  }

  get requests(): Pool {
    return this.#current().requests
  }

  get streams(): Client {
    return this.#current().streams
  }

  /** What is under way fails. */
  async destroy(reason: Error): Promise<void> {
    const { requests, streams } = this.#now
    await Promise.all([requests.destroy(reason), streams.destroy(reason)])
  }

  #current(): Connections {
    const trust = this.#tls?.()
    const before = this.#verified
    if (trust === undefined || before === undefined) return this.#now
    this.#verified = trust
    if (trust === before || includesTrust(trust, before)) return this.#now
    const { requests, streams } = this.#now
    this.#now = this.#open()
    void requests.close().catch(ignore)
    void streams.destroy(new Error('what is trusted has changed')).catch(ignore)
    return this.#now
  }

  #open(): Connections {
    const tls = this.#tls
    const connect = tls === undefined ? { timeout: CONNECT_MS } : verifyingConnector(tls)
    const options = { connect, allowH2: false, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 }
    const origin = `${tls === undefined ? 'http' : 'https'}://${this.#address}`
    return {
      requests: new Pool(origin, { ...options, connections: REQUEST_CONNECTIONS }),
      streams: new Client(origin, options),
    }
  }
}

/** No session is resumed, so each connection is shown the certificate that the pod has now. */
function verifyingConnector(tls: () => TlsTrust): buildConnector.connector {
  let trust = tls()
  let connector = connectorFor(trust)
  return (options, callback) => {
    const now = tls()
    if (now.ca !== trust.ca || now.serverName !== trust.serverName) {
      trust = now
      connector = connectorFor(now)
    }
    connector({ ...options, servername: trust.serverName }, callback)
  }
}

const connectorFor = ({ ca, serverName }: TlsTrust): buildConnector.connector =>
  buildConnector({
    ca,
    servername: serverName,
    rejectUnauthorized: true,
    timeout: CONNECT_MS,
    allowH2: false,
    maxCachedSessions: 0,
  })

const ignore = () => undefined
