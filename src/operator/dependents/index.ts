export { secretData } from './config-map.ts'
export {
  type Concerned,
  createDependents,
  type Dependents,
  type DependentsOptions,
  type Wanted,
  type WantedBy,
} from './dependents.ts'
export { type ConfigMapView, type FoundObject, foundObject, type ObjectView, type SecretView } from './view.ts'
