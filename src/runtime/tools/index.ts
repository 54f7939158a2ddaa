export { MAX_RESULT_BYTES } from './author/result.ts'
export { createInThreadHost } from './in-thread/in-thread-host.ts'
export { NODE_MODULES } from './modules/resolve.ts'
export type {
  Hosting,
  HostLoss,
  Isolation,
  ToolCallContext,
  ToolDescription,
  ToolHost,
  ToolLoadOptions,
  ToolSet,
} from './port.ts'
export { createToolHost } from './tool-host.ts'
