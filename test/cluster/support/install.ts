import { until } from '../../api/harness/until.ts'
import { CHART } from '../../api/support/deploy/helm.ts'
import { startTellingModel, type TellingModel } from '../../api/support/telling-model.ts'
import type { ClusterNode } from '../harness/node.ts'
import { NETWORK } from '../harness/setup/layout.ts'

/** Values of the chart, as JSON. */
export type Values = Readonly<Record<string, unknown>>

/** A release of the chart on the node, until it is disposed of. */
export interface Release extends AsyncDisposable {
  readonly name: string
  /** Where the operator is. */
  readonly namespace: string
  /** `helm upgrade` with these values over those it was installed with, and no others. */
  upgrade(values?: Values): Promise<void>
  /** `helm rollback` to a revision. */
  rollback(revision: number): Promise<void>
  /** `helm test`. @returns what it printed, with the logs of the test */
  test(): Promise<string>
  uninstall(): Promise<void>
  /** Scales the operator, and waits until it has so many ready pods and no other. */
  scale(replicas: number): Promise<void>
  /** What the operator's pods have logged, those of now. */
  logs(): Promise<string>
}

export type InstallOptions = {
  /** Namespaces that the operator watches; empty: all. */
  readonly namespaces: readonly string[]
  /** Where the operator goes; default a new one. */
  readonly namespace?: string
  readonly values?: Values
}

/** What a release of the node's image needs to be told. */
function imageValues(image: string): Values {
  const end = image.lastIndexOf(':')
  return { image: { repository: image.slice(0, end), tag: image.slice(end + 1), pullPolicy: 'Never' } }
}

const NAME = 'midflight'
export const OPERATOR = `${NAME}-operator`
const TIMEOUT = '--timeout=150s'

/** `helm install --wait` of the chart with the node's image. CustomResourceDefinitions of an earlier release are taken over. */
export async function installMidflight(node: ClusterNode, options: InstallOptions): Promise<Release> {
  const { namespaces, namespace = await node.makeNamespace('system'), values = {} } = options
  const common = { ...imageValues(node.image), namespaces, ...values }
  const helm = (command: string, args: readonly string[], more: Values = {}) =>
    node.helm([command, NAME, ...args, '-n', namespace, TIMEOUT], { input: JSON.stringify({ ...common, ...more }) })
  await helm('install', [CHART, '--wait', '--take-ownership', '-f', '-'])
  const uninstall = async () => void (await helm('uninstall', ['--wait', '--ignore-not-found']))
  return {
    name: NAME,
    namespace,
    upgrade: async (more) => void (await helm('upgrade', [CHART, '--wait', '-f', '-'], more)),
    rollback: async (revision) => void (await helm('rollback', [String(revision), '--wait'])),
    test: () => helm('test', ['--logs']),
    uninstall,
    scale: (replicas) => scaleOperator(node, namespace, replicas),
    logs: () => node.kubectl(['logs', '-n', namespace, '-l', OPERATOR_LABELS, '--tail=-1', '--prefix']),
    [Symbol.asyncDispose]: uninstall,
  }
}

/** A release that watches one namespace, and a model that is no pod. */
export interface Installation extends AsyncDisposable {
  readonly node: ClusterNode
  readonly release: Release
  /** The namespace that the operator watches. */
  readonly team: string
  /** Pods reach it at `NETWORK.address`. */
  readonly model: TellingModel
}

/** @param values of the chart, beside the namespace and the image */
export async function openInstallation(node: ClusterNode, values: Values = {}): Promise<Installation> {
  const team = await node.makeNamespace('team')
  const model = await startTellingModel(NETWORK.address)
  const closeModel = async () => {
    model.letGo()
    await model[Symbol.asyncDispose]()
  }
  try {
    const release = await installMidflight(node, { namespaces: [team], values })
    const close = async () => {
      await closeModel()
      await release[Symbol.asyncDispose]()
    }
    return { node, release, team, model, [Symbol.asyncDispose]: close }
  } catch (error) {
    await closeModel()
    throw error
  }
}

export const OPERATOR_LABELS = 'app.kubernetes.io/component=operator'

/** Scales the operator, and waits until it has so many ready pods and no other. */
async function scaleOperator(node: ClusterNode, namespace: string, replicas: number): Promise<void> {
  await node.kubectl(['scale', `deployment/${OPERATOR}`, '-n', namespace, `--replicas=${replicas}`])
  await until(`there are ${replicas} operators`, () => areOperators(node, namespace, replicas), 90_000)
}

type Pods = {
  readonly items: readonly {
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
  }[]
}

async function areOperators(node: ClusterNode, namespace: string, replicas: number): Promise<boolean> {
  const query = `labelSelector=${encodeURIComponent(OPERATOR_LABELS)}`
  const { items } = await node.call<Pods>('GET', `/api/v1/namespaces/${namespace}/pods?${query}`)
  const ready = items.filter(({ status }) =>
    status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
  )
  return items.length === replicas && ready.length === replicas
}
