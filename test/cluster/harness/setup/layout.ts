// Where a node keeps what, and the addresses of its network.
import { join } from 'node:path'
import { cacheFolder } from '../../../../scripts/setup-cluster/versions.ts'

/** All that a node is: MIDFLIGHT_NODE_DIR, else `node` in the user's cache folder. */
export const nodeFolder = (): string => process.env.MIDFLIGHT_NODE_DIR || join(cacheFolder(), 'node')

export const NODE_NAME = 'node1'

export const NETWORK = {
  /** Of the CNI network: the files it leaves in /var/lib/cni begin with it. */
  name: 'midflight-node',
  bridge: 'midflight0',
  /** The node's own, on the bridge. */
  address: '10.244.0.1',
  pods: '10.244.0.0/24',
  cluster: '10.244.0.0/16',
  services: '10.96.0.0/16',
  /** The first of `services`: `kubernetes.default`. */
  apiService: '10.96.0.1',
} as const

/** The one that ctr and kubelet talk to. */
export const containerdSocket = (folder: string): string => join(folder, 'containerd.sock')

/** containerd's namespace for what kubelet runs. */
export const CRI_NAMESPACE = 'k8s.io'

export const PAUSE_IMAGE = 'localhost/midflight-pause:1'
