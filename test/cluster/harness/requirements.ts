import { missingPackages, whyNoNode } from '../../../scripts/setup-cluster/packages.ts'
import { isBuilt } from '../../../scripts/setup-cluster/versions.ts'

/** Why a node cannot be brought up here, in one line; undefined where it can. */
export function unmetRequirement(): string | undefined {
  const reason = whyNoNode()
  if (reason !== undefined) return reason
  const missing = missingPackages()
  const fix = 'npm run setup:cluster -- --node brings it'
  if (missing.length > 0) return `a node needs ${missing.join(', ')}: ${fix}`
  return isBuilt() ? undefined : `a node needs the programs of Kubernetes: ${fix}`
}
