import type { Manifest } from '../../../api/harness/cluster/api-client.ts'

export type PodOptions = {
  readonly namespace: string
  readonly name: string
  readonly image: string
  readonly args?: readonly string[]
  /** Replaces the image's entrypoint. */
  readonly command?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  /** Further fields of the container. */
  readonly container?: Readonly<Record<string, unknown>>
  /** Further fields of the pod. */
  readonly pod?: Readonly<Record<string, unknown>>
}

/** A pod of one container, `main`, that pod security `restricted` admits, with a read-only root and its own /tmp. */
export const restrictedPod = ({
  namespace,
  name,
  image,
  args,
  command,
  labels,
  container,
  pod,
}: PodOptions): Manifest => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, ...(labels && { labels }) },
  spec: {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 2,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'main',
        image,
        imagePullPolicy: 'Never',
        ...(args && { args }),
        ...(command && { command }),
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
        ...container,
      },
    ],
    volumes: [{ name: 'tmp', emptyDir: {} }],
    ...pod,
  },
})
