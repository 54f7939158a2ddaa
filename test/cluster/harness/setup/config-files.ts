import { join } from 'node:path'
import { stringify } from 'yaml'
import type { Certificate } from '../../../api/harness/pki.ts'
import { containerdSocket, NETWORK, PAUSE_IMAGE } from './layout.ts'

type Node = { readonly folder: string; readonly caFile: string }

/** The configuration of the node's programs, by the file's path in the node's folder. */
export function configFiles({ folder, caFile }: Node, kubeletServer: Certificate): Readonly<Record<string, string>> {
  return {
    'cni/conf/10-bridge.conf': JSON.stringify(cniNetwork(folder)),
    'containerd.toml': containerdConfig(folder),
    Corefile: corefile(folder),
    'kubelet.yaml': stringify(kubeletConfig({ folder, caFile }, kubeletServer)),
  }
}

const cniNetwork = (folder: string) => ({
  cniVersion: '0.4.0',
  name: NETWORK.name,
  type: 'bridge',
  bridge: NETWORK.bridge,
  isGateway: true,
  ipMasq: true,
  // A pod that calls its own Service reaches itself.
  hairpinMode: true,
  ipam: {
    type: 'host-local',
    dataDir: join(folder, 'cni/networks'),
    ranges: [[{ subnet: NETWORK.pods }]],
    routes: [{ dst: '0.0.0.0/0' }],
  },
})

// Without restrict_oom_score_adj runc dies with "can't get final child's PID from pipe" where CAP_SYS_RESOURCE is missing.
const containerdConfig = (folder: string) => `version = 2
root = "${folder}/containerd/root"
state = "${folder}/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "${containerdSocket(folder)}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${folder}/cni/conf"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "${folder}/containerd/runc"
`

// Names outside the cluster are the machine's own affair: a test must not depend on them.
const corefile = (folder: string) => `.:53 {
  bind ${NETWORK.address}
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${folder}/coredns.kubeconfig
  }
  cache 5
}
`

/** Kubelet's own pace is left as it is: how long a ConfigMap takes to reach a mount is what tests measure. */
const kubeletConfig = ({ folder, caFile }: Node, server: Certificate) => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  // Only the API server, by its client certificate, may ask: logs, exec and port-forward go through it.
  authentication: { anonymous: { enabled: false }, webhook: { enabled: false }, x509: { clientCAFile: caFile } },
  authorization: { mode: 'AlwaysAllow' },
  tlsCertFile: server.certFile,
  tlsPrivateKeyFile: server.keyFile,
  cgroupDriver: 'cgroupfs',
  // 1.34 is the last that runs on cgroup v1 without it.
  failCgroupV1: false,
  failSwapOn: false,
  clusterDNS: [NETWORK.address],
  clusterDomain: 'cluster.local',
  containerRuntimeEndpoint: `unix://${containerdSocket(folder)}`,
  podLogsDir: `${folder}/pod-logs`,
  volumePluginDir: `${folder}/volume-plugins`,
  imageGCHighThresholdPercent: 100,
  evictionHard: { 'nodefs.available': '1%', 'imagefs.available': '1%', 'memory.available': '50Mi' },
  healthzPort: 0,
})
