export { type Boot, bootFrom } from './boot.ts'
