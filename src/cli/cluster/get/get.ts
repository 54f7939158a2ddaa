import { stringify } from 'yaml'
import type { Kind } from '../../../api/index.ts'
import { systemClock } from '../../../clock.ts'
import { FailureError, UsageError } from '../../config.ts'
import type { Io } from '../../io.ts'
import { checkScope, type GetConfig } from '../config.ts'
import { connect } from '../connect.ts'
import { KIND_NAMES, kindOf } from '../objects.ts'
import { sheetOf, tableLines } from '../table.ts'
import { readSources } from './sources.ts'
import { DERIVED, type Derived, derivedOf, isObject, type Row, type View, viewOf } from './views.ts'

/** @returns 0; a name that is not there is a failure */
export async function get(args: readonly string[], config: GetConfig, io: Io): Promise<number> {
  checkScope(config)
  const { what, name } = parseArguments(args)
  using connection = await connect(config, io)
  const namespace = config.allNamespaces ? undefined : connection.namespace
  const files = what.some((each) => each === 'bundles' || each === 'tools' || each === 'extensions')
  const sources = await readSources(
    connection.client,
    { namespace, files, pods: what.includes('pods') },
    connection.signal,
  )
  const views = what
    .map((each) => viewOf(each, sources, systemClock.now()))
    .map((view) => ({ ...view, rows: view.rows.filter((row) => name === undefined || row.name.endsWith(`/${name}`)) }))
  const scope = namespace === undefined ? 'any namespace' : `namespace ${namespace}`
  if (name !== undefined && views.every(({ rows }) => rows.length === 0))
    throw new FailureError(`there is no ${args.join('/')} in ${scope}`)
  print(views, { ...config, isOne: name !== undefined }, io)
  if (views.every(({ rows }) => rows.length === 0)) io.stderr.write(`nothing of that is in ${scope}\n`)
  return 0
}

type Asked = { readonly what: readonly (Kind | Derived)[]; readonly name: string | undefined }

/** `agents`, `agent support`, `agent/support`; without anything, the four kinds. */
function parseArguments(args: readonly string[]): Asked {
  if (args.length === 0) return { what: KIND_NAMES, name: undefined }
  const [word = '', name, ...rest] = args.flatMap((each) => each.split('/'))
  const what = kindOf(word) ?? derivedOf(word)
  if (what === undefined || rest.length > 0 || name === '')
    throw new UsageError(
      `"${args.join(' ')}" must be KIND or KIND NAME, with KIND one of ${[...KIND_NAMES.map((kind) => kind.toLowerCase()), ...DERIVED].join(', ')}`,
    )
  return { what: [what], name }
}

type Printing = GetConfig & { readonly isOne: boolean }

function print(views: readonly View[], config: Printing, io: Io): void {
  const rows = views.flatMap((view) => view.rows)
  switch (config.output) {
    case 'name':
      return void io.stdout.write(rows.map(({ name }) => `${name}\n`).join(''))
    case 'json':
      return void io.stdout.write(`${JSON.stringify(documentOf(rows, config), null, 2)}\n`)
    case 'yaml':
      return void io.stdout.write(stringify(documentOf(rows, config), { aliasDuplicateObjects: false }))
    case 'table':
    case 'wide': {
      const shown = views.filter((view) => view.rows.length > 0).map((view) => table(view, config, io))
      return void io.stdout.write(shown.length === 0 ? '' : `${shown.map((lines) => lines.join('\n')).join('\n\n')}\n`)
    }
  }
}

/** One document for one name, else a List as kubectl writes it, or an array of what only this tool tells. */
function documentOf(rows: readonly Row[], { isOne, allNamespaces }: Printing): unknown {
  const documents = rows.map(({ document }) => document)
  if (isOne && !allNamespaces && documents.length === 1) return documents[0]
  return documents.every(isObject) ? { apiVersion: 'v1', kind: 'List', items: documents } : documents
}

function table({ head, wide, rows }: View, { output, allNamespaces }: Printing, io: Io): string[] {
  const count = output === 'wide' ? head.length : wide
  const prefix = (namespace: string) => (allNamespaces ? [namespace] : [])
  return tableLines(
    {
      head: [...prefix('NAMESPACE'), ...head.slice(0, count)],
      rows: rows.map(({ namespace, cells }) => [...prefix(namespace), ...cells.slice(0, count)]),
    },
    sheetOf(io.stdout, io.environment),
  )
}
