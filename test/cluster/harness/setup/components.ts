import { join } from 'node:path'
import { programPath } from '../../../api/harness/binaries.ts'
import type { Launch } from '../machine/process.ts'
import { NETWORK, NODE_NAME } from './layout.ts'
import { kubeconfigOf, type NodeSetup } from './setup.ts'

/** In the order of their start. */
export const COMPONENTS = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'containerd',
  'coredns',
  'kubelet',
  'kube-proxy',
] as const

/** A program of the node. */
export type Component = (typeof COMPONENTS)[number]

type Flags = Readonly<Record<string, string>>

const argsOf = (flags: Flags) => Object.entries(flags).map(([name, value]) => `--${name}=${value}`)

/** The command line of a program. */
export function launchOf(component: Component, setup: NodeSetup): Launch {
  if (component === 'containerd') {
    return { name: component, program: 'containerd', args: ['-c', join(setup.folder, 'containerd.toml')] }
  }
  if (component === 'coredns') {
    return { name: component, program: programPath('coredns'), args: ['-conf', join(setup.folder, 'Corefile')] }
  }
  return { name: component, program: programPath(component), args: argsOf(flagsOf(component, setup)) }
}

function flagsOf(component: Exclude<Component, 'containerd' | 'coredns'>, setup: NodeSetup): Flags {
  const { folder } = setup
  switch (component) {
    case 'etcd':
      return etcdFlags(folder)
    case 'kube-apiserver':
      return apiServerFlags(setup)
    case 'kube-controller-manager':
      return {
        kubeconfig: kubeconfigOf(folder, component),
        'service-account-private-key-file': setup.files.tokenPrivateKey,
        'root-ca-file': setup.caFile,
        'cluster-signing-cert-file': setup.caFile,
        'cluster-signing-key-file': setup.files.caKey,
        'use-service-account-credentials': 'true',
        'leader-elect': 'false',
        'secure-port': '0',
      }
    case 'kube-scheduler':
      return { kubeconfig: kubeconfigOf(folder, component), 'leader-elect': 'false', 'secure-port': '0' }
    case 'kubelet':
      return {
        config: join(folder, 'kubelet.yaml'),
        kubeconfig: kubeconfigOf(folder, component),
        'root-dir': join(folder, 'kubelet'),
        'hostname-override': NODE_NAME,
        'node-ip': NETWORK.address,
      }
    case 'kube-proxy':
      return {
        kubeconfig: kubeconfigOf(folder, component),
        'proxy-mode': 'iptables',
        'hostname-override': NODE_NAME,
        'cluster-cidr': NETWORK.cluster,
        // The kernel's own limit stays.
        'conntrack-max-per-core': '0',
        'conntrack-min': '0',
        'metrics-bind-address': '127.0.0.1:10249',
        'healthz-bind-address': '127.0.0.1:10256',
      }
    default:
      return component satisfies never
  }
}

const etcdFlags = (folder: string): Flags => ({
  'data-dir': join(folder, 'etcd'),
  'listen-client-urls': etcdUrl(folder),
  // It has no members to tell: a socket is refused here, and port 0 is nobody's.
  'advertise-client-urls': 'http://127.0.0.1:0',
  'listen-peer-urls': 'http://127.0.0.1:0',
  'log-level': 'error',
  'unsafe-no-fsync': 'true',
})

const etcdUrl = (folder: string) => `unix://${join(folder, 'etcd.sock')}`

const apiServerFlags = ({ folder, port, caFile, files }: NodeSetup): Flags => ({
  'etcd-servers': etcdUrl(folder),
  'bind-address': '0.0.0.0',
  'advertise-address': NETWORK.address,
  'secure-port': String(port),
  'tls-cert-file': files.serverCert,
  'tls-private-key-file': files.serverKey,
  'client-ca-file': caFile,
  'token-auth-file': join(folder, 'tokens.csv'),
  'service-account-issuer': 'https://kubernetes.default.svc',
  'service-account-key-file': files.tokenPublicKey,
  'service-account-signing-key-file': files.tokenPrivateKey,
  'authorization-mode': 'Node,RBAC',
  // PodSecurity is among the plugins that are on by default.
  'enable-admission-plugins': 'NodeRestriction',
  'service-cluster-ip-range': NETWORK.services,
  'allow-privileged': 'true',
  'kubelet-preferred-address-types': 'InternalIP',
  'kubelet-certificate-authority': caFile,
  'kubelet-client-certificate': files.kubeletClientCert,
  'kubelet-client-key': files.kubeletClientKey,
  'audit-policy-file': join(import.meta.dirname, 'audit-policy.yaml'),
  'audit-log-path': join(folder, 'logs/audit.log'),
  'audit-log-maxbackup': '1',
})
