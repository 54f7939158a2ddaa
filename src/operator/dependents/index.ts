export { secretData } from './config-map.ts'
export { createDependents, type Dependents, type DependentsOptions, type Wanted } from './dependents.ts'
export { type ConfigMapView, type FoundObject, foundObject, type ObjectView, type SecretView } from './view.ts'
