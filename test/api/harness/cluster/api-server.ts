import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { programPath } from '../binaries.ts'
import { type Authority, type Certificate, createAuthority, createTokenKeys } from '../pki.ts'
import { AUDIT_POLICY } from './audit-log.ts'
import { type Child, startChild } from './child.ts'

/** What stays the same over every start of one API server. */
export type ApiServerSetup = {
  readonly folder: string
  readonly port: number
  readonly authority: Authority
  /** The server's own. */
  readonly certificate: Certificate
  /** Bearer token of the user `admin`, who is in `system:masters`. */
  readonly token: string
  readonly controllerManagerToken: string
  readonly auditFile: string
  /** Command line flags of kube-apiserver. */
  readonly flags: Readonly<Record<string, string>>
  readonly tokenSigningKey: string
}

export type ApiServerOptions = {
  readonly compactionInterval?: string
  readonly auditLog?: boolean
  readonly watchCache?: boolean
  readonly watchList?: boolean
}

/** Plugins that no test needs: without them the server starts sooner and a pod needs no node. */
const UNNEEDED_ADMISSION = [
  'LimitRanger',
  'TaintNodesByCondition',
  'Priority',
  'DefaultTolerationSeconds',
  'DefaultStorageClass',
  'StorageObjectInUseProtection',
  'PersistentVolumeClaimResize',
  'RuntimeClass',
  'DefaultIngressClass',
  'ResourceQuota',
].join(',')

/** Writes certificates, tokens and the audit policy into the folder and chooses the port. */
export async function prepareApiServer(
  folder: string,
  etcdUrl: string,
  { compactionInterval = '5m', auditLog = true, watchCache = true, watchList = true }: ApiServerOptions,
): Promise<ApiServerSetup> {
  const file = (name: string) => join(folder, name)
  const pki = file('pki')
  await mkdir(pki, { recursive: true })
  const authority = await createAuthority(pki)
  const [certificate, tokens, port] = await Promise.all([
    authority.server('kube-apiserver', ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc']),
    createTokenKeys(pki),
    freePort(),
  ])
  const token = randomBytes(16).toString('hex')
  const controllerManagerToken = randomBytes(16).toString('hex')
  await writeFile(
    file('tokens.csv'),
    `${token},admin,admin,"system:masters"\n${controllerManagerToken},system:kube-controller-manager,kcm,"system:masters"\n`,
  )
  await writeFile(file('audit-policy.yaml'), AUDIT_POLICY)
  const auditFile = file('audit.log')
  await writeFile(auditFile, '')
  const flags = {
    'etcd-servers': etcdUrl,
    'etcd-compaction-interval': compactionInterval,
    'watch-cache': String(watchCache),
    // Else continue tokens are served from memory until a compaction is noticed, which takes up to 15 s.
    'feature-gates': `ListFromCacheSnapshot=false,WatchList=${watchList}`,
    'bind-address': '127.0.0.1',
    'advertise-address': '127.0.0.1',
    // It would write a Service's endpoints, and may not for a loopback address.
    'endpoint-reconciler-type': 'none',
    'secure-port': String(port),
    'tls-cert-file': certificate.certFile,
    'tls-private-key-file': certificate.keyFile,
    'client-ca-file': authority.caFile,
    'token-auth-file': file('tokens.csv'),
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-key-file': tokens.publicFile,
    'service-account-signing-key-file': tokens.privateFile,
    'authorization-mode': 'RBAC',
    // As in OpenShift: who names an owner that its objects keep from being deleted needs a right for that.
    'enable-admission-plugins': 'OwnerReferencesPermissionEnforcement',
    'disable-admission-plugins': UNNEEDED_ADMISSION,
    'service-cluster-ip-range': '10.96.0.0/16',
    'allow-privileged': 'true',
    profiling: 'false',
    ...(auditLog && {
      'audit-policy-file': file('audit-policy.yaml'),
      'audit-log-path': auditFile,
      'audit-log-maxsize': '100000',
    }),
  }
  const tokenSigningKey = tokens.privateFile
  return { folder, port, authority, certificate, token, controllerManagerToken, auditFile, flags, tokenSigningKey }
}

export const startApiServer = ({ folder, flags }: ApiServerSetup): Promise<Child> =>
  startChild({
    name: 'kube-apiserver',
    program: programPath('kube-apiserver'),
    args: Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
    folder,
    logFile: join(folder, 'kube-apiserver.log'),
  })

/** @param kubeconfig of a user that may do everything */
export const startControllerManager = (
  { folder, authority, tokenSigningKey }: ApiServerSetup,
  kubeconfig: string,
): Promise<Child> => {
  const flags = {
    kubeconfig,
    'service-account-private-key-file': tokenSigningKey,
    'root-ca-file': authority.caFile,
    'leader-elect': 'false',
    'secure-port': '0',
    // Both limits are the client's own, and too low for tests that make hundreds of objects.
    'kube-api-qps': '500',
    'kube-api-burst': '1000',
  }
  return startChild({
    name: 'kube-controller-manager',
    program: programPath('kube-controller-manager'),
    args: Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
    folder,
    logFile: join(folder, 'kube-controller-manager.log'),
  })
}

// Below 32768, where Linux begins to take the ports of outgoing connections: while the server is down nobody else gets its port.
const PORTS = { from: 20_000, to: 30_000 } as const

/** A port on 127.0.0.1 that nobody listens on now. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from))
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
    if (await promise) return port
  }
}
