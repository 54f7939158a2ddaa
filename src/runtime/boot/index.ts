export type { MountedDirectory } from './behind.ts'
export { type Boot, bootFrom } from './boot.ts'
