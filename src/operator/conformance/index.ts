export { connectTo, type Endpoint, type EndpointClient } from './client.ts'
export { CHECKS, type CheckResult, runConformance, type SuiteOptions } from './suite.ts'
