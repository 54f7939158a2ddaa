export { clusterBinaries } from './binaries.ts'
export type { Answer, Manifest, RequestOptions } from './cluster/api-client.ts'
export { type AuditEvent, type AuditFilter, WRITES } from './cluster/audit-log.ts'
export type { PodSpec } from './cluster/objects.ts'
export { type Cluster, type ClusterOptions, startCluster } from './cluster.ts'
export { describeCluster, useCluster } from './describe-cluster.ts'
export {
  createFeed,
  cut,
  drip,
  expired,
  expiredLine,
  type FakeAnswer,
  type Feed,
  failure,
  hang,
  json,
  raw,
  splitInside,
  stream,
  tooManyRequests,
  watchLine,
} from './fake-answers.ts'
export { type FakeApiServer, type PathPattern, type RecordedRequest, startFakeApiServer } from './fake-api-server.ts'
export { type FaultProxy, type FaultProxyOptions, startFaultProxy } from './fault-proxy.ts'
export { type Authority, type Certificate, createAuthority } from './pki.ts'
export { until } from './until.ts'
