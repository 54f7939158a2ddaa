export { type DirectoryBundle, directoryBundles } from './bundles.ts'
export { formatProblem, formatReport, type LocatedProblem, type Report, type Style } from './report.ts'
export type { Environment } from './secrets.ts'
export { type Session, type SessionOptions, startSession } from './session.ts'
