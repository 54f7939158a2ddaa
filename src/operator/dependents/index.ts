export { createDependents, type Dependents, type DependentsOptions, type Wanted } from './dependents.ts'
export type { ConfigMapView, FoundObject, ObjectView, SecretView } from './view.ts'
