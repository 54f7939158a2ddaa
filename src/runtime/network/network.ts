import { promises as dns, type LookupAddress, type LookupAllOptions } from 'node:dns'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { LookupFunction } from 'node:net'
import { type NetworkSpec, ProblemError } from '../../api/index.ts'
import { type AddressPolicy, createPolicy } from './policy.ts'

/** The way out of the process for URLs that resources bring: the URL by `admitUrl`, its connections by the agents. */
export type Network = {
  readonly policy: AddressPolicy
  /** Their connections lead to addresses that the policy has admitted; no proxy of the environment is used. */
  readonly agents: { readonly http: HttpAgent; readonly https: HttpsAgent }
}

/** All addresses of a host. */
export type Resolve = (host: string, options: LookupAllOptions) => Promise<LookupAddress[]>

/** As Node's global agents keep them: connections that nobody uses for 5 s go. */
const KEPT = { keepAlive: true, scheduling: 'lifo', timeout: 5_000 } as const

/** @param resolve asked once a connection; what it said is what is connected to */
export function createNetwork(policy: AddressPolicy, resolve: Resolve = dns.lookup): Network {
  const lookup = admittedLookup(policy, resolve)
  return { policy, agents: { http: new HttpAgent({ ...KEPT, lookup }), https: new HttpsAgent({ ...KEPT, lookup }) } }
}

/**
 * Resolves a host to those of its addresses that the policy admits. A socket connects to what its lookup gave, so that a
 * name whose answer changes (DNS rebinding) leads nowhere else.
 */
function admittedLookup(policy: AddressPolicy, resolve: Resolve): LookupFunction {
  const admitted = async (host: string, options: LookupAllOptions): Promise<LookupAddress[]> => {
    const name = host.toLowerCase().replace(/\.$/, '')
    const found = await resolve(host, options)
    const open = found.filter(({ address }) => policy.refusal(name, address) === undefined)
    const refusal = found[0] && policy.refusal(name, found[0].address)
    if (open.length === 0 && refusal !== undefined) throw new ProblemError(refusal)
    return open
  }
  return (host, options, callback) => {
    admitted(host, { ...options, all: true }).then(
      (addresses) => {
        const [{ address, family } = { address: '', family: 0 }] = addresses
        if (options.all === true) callback(null, addresses)
        else callback(null, address, family)
      },
      (error: NodeJS.ErrnoException) => callback(error, ''),
    )
  }
}

/**
 * The networks of a process, by what its settings allow. Settings that allow the same share connections; others never
 * use one that was made under another rule.
 */
export function createNetworks({ loopback }: { readonly loopback: boolean }): (spec: NetworkSpec) => Network {
  let last: { readonly key: string; readonly network: Network } | undefined
  return ({ allow }) => {
    const key = JSON.stringify([...allow].sort())
    if (last?.key !== key) last = { key, network: createNetwork(createPolicy({ allow, loopback })) }
    return last.network
  }
}
