import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments, stringify } from 'yaml'
import type { Manifest } from '../../harness/index.ts'

const FILE = join(import.meta.dirname, '../../../../deploy/install.yaml')

/** Where deploy/install.yaml puts the operator. */
export const SYSTEM = 'midflight-system'
/** The ClusterRole of its rights in the namespaces that it watches. */
export const OPERATOR_ROLE = `${SYSTEM}:midflight-operator`

const RIGHTS = ['Namespace', 'ServiceAccount', 'ClusterRole', 'Role', 'RoleBinding']

/** What deploy/install.yaml grants to operators and people, but for what it grants everywhere. */
export const installedRights = (): Promise<string> => installed(RIGHTS)
/** What it grants everywhere. */
export const installedEverywhere = (): Promise<string> => installed(['ClusterRoleBinding'])

/** Documents of deploy/install.yaml, as one YAML stream. */
async function installed(kinds: readonly string[]): Promise<string> {
  return objectsOf(await readFile(FILE, 'utf8'))
    .filter(({ kind }) => kinds.includes(kind))
    .map((object) => stringify(object))
    .join('---\n')
}

/** Objects of a YAML stream, in their order. */
export const objectsOf = (yaml: string): Manifest[] =>
  parseAllDocuments(yaml)
    .map((document) => document.toJS() as Manifest | null)
    .filter((object) => object !== null)
