export type { RunEvent, RunResult, RunSubject, TokenUsage, ToolCallView } from './events.ts'
export type { Run, RunObserver, RunRequest, RunStatus, Runs } from './port.ts'
export { createRuns, type RunsOptions } from './runs.ts'
export { type EffectiveTool, effectiveTools } from './tools.ts'
