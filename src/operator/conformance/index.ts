export { connectTo, type Endpoint, type EndpointClient } from './client.ts'
export { type CheckResult, runConformance } from './suite.ts'
