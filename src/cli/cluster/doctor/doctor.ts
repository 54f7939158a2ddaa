import { systemClock } from '../../../clock.ts'
import { type ApiError, isApiError } from '../../../kube/index.ts'
import { FailureError } from '../../config.ts'
import { version } from '../../files.ts'
import { type Io, plural } from '../../io.ts'
import { checkScope, type DoctorConfig } from '../config.ts'
import { connect } from '../connect.ts'
import { type Sheet, sheetOf, type Tone, toned } from '../table.ts'
import { printable, wrap } from '../text.ts'
import { checkCertificates } from './certificates.ts'
import { checkEvents } from './events.ts'
import { type Finding, ok } from './finding.ts'
import { checkCrds, checkOperator } from './install.ts'
import { createReader, type Reader } from './reader.ts'
import { checkOperatorRights, checkOwnRights } from './rights.ts'
import { checkReferences, judgePods, judgeStanding, readDeclared } from './runtimes.ts'

/** @returns 1 when a check says FAIL */
export async function doctor(config: DoctorConfig, io: Io): Promise<number> {
  checkScope(config)
  using connection = await connect(config, io)
  const { client, signal } = connection
  const namespace = config.allNamespaces ? undefined : connection.namespace
  const sheet = sheetOf(io.stdout, io.environment)
  const findings: Finding[] = []
  try {
    for await (const found of examine(createReader(client, signal), { namespace, home: config.operatorNamespace })) {
      findings.push(...found)
      if (config.output === 'table')
        for (const finding of found) io.stdout.write(`${findingLines(finding, sheet).join('\n')}\n`)
    }
  } catch (error) {
    if (isApiError(error) && !signal.aborted) throw unreadable(error)
    throw error
  }
  const count = (level: Finding['level']) => findings.filter((finding) => finding.level === level).length
  if (config.output === 'json')
    io.stdout.write(`${JSON.stringify({ failed: count('FAIL'), warnings: count('warn'), findings }, null, 2)}\n`)
  else
    io.stdout.write(
      `${plural(findings.length, 'check')}: ${count('FAIL')} failed, ${plural(count('warn'), 'warning')}, ${count('skip')} skipped\n`,
    )
  return count('FAIL') === 0 ? 0 : 1
}

const unreadable = (error: ApiError): FailureError =>
  new FailureError(`the cluster cannot be examined: ${error.message}`, { cause: error })

type Scope = {
  /** What is looked at; absent: all. */
  readonly namespace: string | undefined
  /** Where the operator is; absent: wherever its labels and its Lease are. */
  readonly home: string | undefined
}

/** From the ground up: what is missing below explains what does not work above. */
async function* examine(reader: Reader, { namespace, home }: Scope): AsyncGenerator<readonly Finding[]> {
  const now = systemClock.now()
  yield [ok('API server', `Kubernetes ${await reader.version()}; this is midflight ${version()}`)]
  yield await checkCrds(reader)
  const { findings, facts } = await checkOperator(reader, {
    namespace: home,
    about: namespace,
    version: version(),
    now,
  })
  yield findings
  yield await checkOperatorRights(reader, facts, namespace)
  yield await checkOwnRights(reader, namespace)
  const declared = await readDeclared(reader, namespace)
  yield declared.findings
  yield judgeStanding(declared)
  yield await checkReferences(reader, declared)
  yield await checkCertificates(reader, declared.runtimes, facts, now)
  yield judgePods(declared, facts)
  yield await checkEvents(reader, namespace, declared, now)
}

const TONES: Readonly<Record<Finding['level'], Tone>> = { ok: 'good', warn: 'busy', FAIL: 'bad', skip: 'dim' }
const LEVEL_WIDTH = 4

/** `FAIL  CRD agents: is not installed`, and what mends it below. */
export function findingLines({ level, check, message, fix }: Finding, sheet: Sheet): readonly string[] {
  const indent = ' '.repeat(LEVEL_WIDTH + 2)
  const room = sheet.width === undefined ? Number.POSITIVE_INFINITY : Math.max(20, sheet.width - indent.length)
  const linesOf = (text: string): string[] => (text.length <= room ? [text] : wrap(text, room))
  const [first = '', ...rest] = linesOf(printable(`${check}: ${message}`))
  // A command is not broken: it is to be pasted.
  const mend = fix === undefined ? [] : [`${indent}→ ${printable(fix)}`]
  const mark = toned(level, TONES[level], sheet) + ' '.repeat(LEVEL_WIDTH - level.length)
  return [`${mark}  ${first}`, ...rest.map((each) => indent + each), ...mend]
}
