export { createInThreadHost } from './in-thread-host.ts'
export type { ToolCallContext, ToolDescription, ToolHost, ToolLoadOptions, ToolSet } from './port.ts'
export { NODE_MODULES } from './resolve.ts'
export { MAX_RESULT_BYTES } from './result.ts'
