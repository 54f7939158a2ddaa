export { CALL_RESULTS, type CallResult, counted, POD_CALLS, type PodCall } from './counted.ts'
export { createEventParser } from './event-parser.ts'
export { createHttpTarget, type HttpTarget, type HttpTargetOptions } from './http-target.ts'
export { createTurns } from './turns.ts'
