export { createHttpTarget, type HttpTarget, type HttpTargetOptions } from './http-target.ts'
export { createTurns } from './turns.ts'
