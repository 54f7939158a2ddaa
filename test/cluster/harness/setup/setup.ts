import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '../../../api/harness/cluster/api-server.ts'
import { writeKubeconfig } from '../../../api/harness/cluster/kubeconfig.ts'
import { createAuthority, createTokenKeys } from '../../../api/harness/pki.ts'
import { configFiles } from './config-files.ts'
import { NETWORK, NODE_NAME } from './layout.ts'

/** What stays the same over every start of the node's programs. */
export type NodeSetup = {
  readonly folder: string
  /** Of the API server, on every address of the machine. */
  readonly port: number
  /** PEM file of the node's authority. */
  readonly caFile: string
  /** Bearer token of `admin`, who may do everything. */
  readonly token: string
  readonly kubeconfig: string
  readonly files: {
    readonly caKey: string
    readonly serverCert: string
    readonly serverKey: string
    readonly kubeletClientCert: string
    readonly kubeletClientKey: string
    readonly tokenPublicKey: string
    readonly tokenPrivateKey: string
  }
}

const SETUP = 'setup.json'
const FOLDERS = ['pki', 'etcd', 'logs', 'kubelet', 'containerd', 'cni/conf', 'home', 'volume-plugins']

/** The users that the API server knows by their token, with their groups. */
const USERS = {
  admin: { name: 'admin', group: 'system:masters' },
  kubelet: { name: `system:node:${NODE_NAME}`, group: 'system:nodes' },
  'kube-controller-manager': { name: 'system:kube-controller-manager', group: '' },
  'kube-scheduler': { name: 'system:kube-scheduler', group: '' },
  'kube-proxy': { name: 'system:kube-proxy', group: '' },
  coredns: { name: 'coredns', group: 'system:masters' },
} as const

export const kubeconfigOf = (folder: string, user: keyof typeof USERS): string => join(folder, `${user}.kubeconfig`)

/** What an earlier start has written, or undefined where there is no node in the folder. */
export function readSetup(folder: string): NodeSetup | undefined {
  const file = join(folder, SETUP)
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as NodeSetup) : undefined
}

/** Writes certificates, tokens and every program's configuration, once for each folder. */
export async function prepareSetup(folder: string): Promise<NodeSetup> {
  const known = readSetup(folder)
  if (known) return known
  await Promise.all(FOLDERS.map((name) => mkdir(join(folder, name), { recursive: true })))
  const pki = join(folder, 'pki')
  const authority = await createAuthority(pki)
  const dnsNames = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc']
  const [server, kubeletServer, kubeletClient, tokens, port] = await Promise.all([
    authority.server('kube-apiserver', [...dnsNames, NETWORK.apiService, NETWORK.address]),
    authority.server('kubelet', [NODE_NAME, NETWORK.address]),
    authority.client('kubelet-client', 'kube-apiserver-kubelet-client', ['system:masters']),
    createTokenKeys(pki),
    freePort(),
  ])
  const token = await writeUsers(folder, { url: `https://127.0.0.1:${port}`, caFile: authority.caFile })
  const setup: NodeSetup = {
    ...{ folder, port, token, caFile: authority.caFile, kubeconfig: kubeconfigOf(folder, 'admin') },
    files: {
      caKey: authority.caKeyFile,
      serverCert: server.certFile,
      serverKey: server.keyFile,
      kubeletClientCert: kubeletClient.certFile,
      kubeletClientKey: kubeletClient.keyFile,
      tokenPublicKey: tokens.publicFile,
      tokenPrivateKey: tokens.privateFile,
    },
  }
  for (const [name, text] of Object.entries(configFiles(setup, kubeletServer))) {
    await writeFile(join(folder, name), text)
  }
  // Written in one step and last: a folder that has it is whole.
  await writeFile(join(folder, `${SETUP}.new`), JSON.stringify(setup, null, 2), { mode: 0o600 })
  await rename(join(folder, `${SETUP}.new`), join(folder, SETUP))
  return setup
}

/** @returns the token of `admin` */
async function writeUsers(folder: string, server: { url: string; caFile: string }): Promise<string> {
  const lines: string[] = []
  const tokens = new Map<string, string>()
  for (const [file, { name, group }] of Object.entries(USERS)) {
    const token = randomBytes(16).toString('hex')
    tokens.set(file, token)
    lines.push(`${token},${name},${name}${group && `,"${group}"`}\n`)
    await writeKubeconfig(join(folder, `${file}.kubeconfig`), server, { token })
  }
  await writeFile(join(folder, 'tokens.csv'), lines.join(''), { mode: 0o600 })
  return tokens.get('admin') ?? ''
}
