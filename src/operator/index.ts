export { compile, runtimeOf, unplaced } from './compile/compile.ts'
export type { Compiled, CompiledItem, Desired, ObjectRef, RuntimeTarget, SecretSource } from './ports.ts'
export { difference, syncTarget } from './sync/sync.ts'
