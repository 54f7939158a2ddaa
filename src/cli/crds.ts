import { stringify } from 'yaml'
import { crdOf, KINDS, type Kind } from '../api/index.ts'
import type { Io } from './io.ts'

/** Prints the CRDs of all kinds as one YAML stream. */
export function crds({ stdout }: Pick<Io, 'stdout'>): number {
  const documents = (Object.keys(KINDS) as Kind[]).map((kind) =>
    stringify(crdOf(kind), { aliasDuplicateObjects: false, lineWidth: 120 }),
  )
  stdout.write(documents.join('---\n'))
  return 0
}
