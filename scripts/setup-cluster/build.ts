// Builds the programs of a cluster from their Go modules.
import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { go } from './go.ts'
import { cacheFolder, clusterFolder, isBuilt, KUBERNETES_PROGRAMS, STAMP, stampText, VERSIONS } from './versions.ts'

const SMALL = ['-ldflags', '-s -w']

/** The modules that k8s.io/kubernetes keeps in its own tree and replaces by folders: whoever builds it must name them. */
const STAGING =
  `api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap
  code-generator component-base component-helpers controller-manager cri-api cri-client csi-translation-lib
  dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy
  kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission sample-apiserver sample-cli-plugin
  sample-controller`.split(/\s+/)

type Workshop = { readonly source: string; readonly target: string; readonly signal: AbortSignal }

async function moduleFolder({ source }: Workshop, name: string, text = ''): Promise<string> {
  const folder = join(source, name)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'go.mod'), `module ${name}\n\ngo 1.24.0\n${text}`)
  return folder
}

async function buildKubernetes(workshop: Workshop): Promise<void> {
  const { kubernetes: version } = VERSIONS
  const staging = version.replace(/^1\./, 'v0.')
  const replaced = STAGING.map((name) => `\tk8s.io/${name} => k8s.io/${name} ${staging}\n`).join('')
  // `go install` refuses a module that replaces others, hence a module of our own that requires it.
  const text = `\nrequire k8s.io/kubernetes v${version}\n\nreplace (\n${replaced})\n`
  const cwd = await moduleFolder(workshop, 'kubernetes-programs', text)
  const { signal, target } = workshop
  const pathOf = (program: string) => `k8s.io/kubernetes/cmd/${program}`
  const tools = KUBERNETES_PROGRAMS.map((program) => `${pathOf(program)}@v${version}`)
  await go(`modules of Kubernetes ${version}`, ['get', '-tool', ...tools], { cwd, signal })
  const [major, minor] = version.split('.')
  const variables = { gitVersion: `v${version}`, gitMajor: major, gitMinor: minor }
  const stamps = Object.entries(variables).map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)
  const flags = ['-v', '-ldflags', ['-s', '-w', ...stamps].join(' ')]
  for (const program of KUBERNETES_PROGRAMS) {
    await go(`${program} ${version}`, ['build', ...flags, '-o', join(target, program), pathOf(program)], {
      cwd,
      signal,
    })
  }
}

async function buildEtcd(workshop: Workshop): Promise<void> {
  const cwd = await moduleFolder(workshop, 'etcd-programs')
  const { signal, target } = workshop
  const path = 'go.etcd.io/etcd/server/v3'
  await go(`modules of etcd ${VERSIONS.etcd}`, ['get', '-tool', `${path}@v${VERSIONS.etcd}`], { cwd, signal })
  await go(`etcd ${VERSIONS.etcd}`, ['build', '-v', ...SMALL, '-o', join(target, 'etcd'), path], { cwd, signal })
}

async function buildCoreDns({ source, target, signal }: Workshop): Promise<void> {
  const path = `github.com/coredns/coredns@v${VERSIONS.coredns}`
  const env = { GOBIN: target }
  await go(`CoreDNS ${VERSIONS.coredns}`, ['install', '-v', ...SMALL, path], { cwd: source, env, signal })
}

/** Without these flags helm takes every chart for one that goes to Kubernetes 1.20, and says no version of its own. */
async function buildHelm({ source, target, signal }: Workshop): Promise<void> {
  const [major, minor] = VERSIONS.kubernetes.split('.')
  const module = 'helm.sh/helm/v3'
  const variables = {
    'internal/version.version': `v${VERSIONS.helm}`,
    'pkg/lint/rules.k8sVersionMajor': major,
    'pkg/lint/rules.k8sVersionMinor': minor,
    'pkg/chartutil.k8sVersionMajor': major,
    'pkg/chartutil.k8sVersionMinor': minor,
  }
  const stamps = Object.entries(variables).map(([name, value]) => `-X ${module}/${name}=${value}`)
  const args = ['install', '-v', '-ldflags', ['-s', '-w', ...stamps].join(' '), `${module}/cmd/helm@v${VERSIONS.helm}`]
  await go(`helm ${VERSIONS.helm}`, args, { cwd: source, env: { GOBIN: target }, signal })
}

/** A finished folder is moved in place in one step; where another build was sooner, that one stays. */
async function moveInPlace(target: string): Promise<void> {
  try {
    await rename(target, clusterFolder())
  } catch (error) {
    if (!isBuilt()) throw error
  }
}

const PREFIX = '.building-'
const ABANDONED_MS = 24 * 60 * 60 * 1000

/** What a killed build left behind; a build never takes a day. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(cacheFolder())) {
    const folder = join(cacheFolder(), name)
    if (!name.startsWith(PREFIX)) continue
    const age = await stat(folder).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    )
    if (age > ABANDONED_MS) await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Builds all programs beside their place and moves them there when all are there. Any number may run at once.
 * @returns the folder
 * @throws SetupError where Go fails, an AbortError when aborted
 */
export async function buildCluster(signal: AbortSignal): Promise<string> {
  await mkdir(cacheFolder(), { recursive: true })
  await removeAbandoned()
  const workspace = await mkdtemp(join(cacheFolder(), PREFIX))
  try {
    const workshop = { source: join(workspace, 'source'), target: join(workspace, 'programs'), signal }
    await mkdir(workshop.source)
    await mkdir(workshop.target)
    await buildKubernetes(workshop)
    await buildEtcd(workshop)
    await buildCoreDns(workshop)
    await buildHelm(workshop)
    await writeFile(join(workshop.target, STAMP), stampText)
    await moveInPlace(workshop.target)
  } finally {
    await rm(workspace, { recursive: true, force: true })
  }
  return clusterFolder()
}
