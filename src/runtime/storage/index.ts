export { createMemorySessions, MEMORY_LIMITS, type MemoryLimits } from './memory.ts'
export type { SessionKey, SessionMessage, SessionStore } from './port.ts'
