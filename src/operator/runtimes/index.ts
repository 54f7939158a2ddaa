export type { Installation } from './children.ts'
export { mountedBy } from './kept.ts'
export {
  type ChildObjects,
  type DeclaredRuntime,
  type Prepared,
  RuntimeObjects,
} from './objects.ts'
export {
  CHILD_KINDS,
  CHILD_TYPES,
  type ChildKind,
  childName,
  controllerOf,
  isPodOf,
  labelsOf,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  ownerReference,
  podSelector,
  RUNTIME_LABEL,
} from './owned.ts'
export { PORTS } from './template.ts'
export { isSameView, managedView } from './view.ts'
