// A Kubernetes API server to try things on, until Ctrl-C: real, but without nodes, so that pods are only objects.
import { once } from 'node:events'
import { clusterBinaries } from '../test/api/harness/binaries.ts'
import { startCluster } from '../test/api/harness/cluster.ts'

const programs = clusterBinaries()
if (programs === undefined) {
  console.error('the programs are not built: run npm run setup:cluster first')
  process.exit(1)
}
await using cluster = await startCluster({ auditLog: false, controllerManager: true })
console.log(`In the other terminals:

  export KUBECONFIG=${cluster.kubeconfig()} PATH=${programs}:$PATH

Ctrl-C stops it, and what was in it is gone.`)
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
