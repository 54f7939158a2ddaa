// The table of rights in docs/operator.md, made from src/operator/rights.ts.
import { RIGHTS, type RightScope } from '../src/operator/index.ts'

const WHERE: Readonly<Record<RightScope, string>> = {
  watched: 'every watched namespace',
  lease: 'namespace of the Lease',
}

const listed = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ')

/** For docs/operator.md. */
export const RIGHTS_PARTS: Readonly<Record<string, string>> = {
  rights: [
    '| group | resources | verbs | where | |',
    '|---|---|---|---|---|',
    ...RIGHTS.map(
      ({ group, resources, names, verbs, scope, because }) =>
        `| ${group === '' ? 'core' : group} | ${listed(resources)}${names ? ` named ${listed(names)}` : ''} | ${verbs.join(', ')} | ${WHERE[scope]} | ${because} |`,
    ),
  ].join('\n'),
}
