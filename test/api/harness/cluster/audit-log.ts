import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { until } from '../until.ts'

/** One request as the API server recorded it. */
export type AuditEvent = {
  /** Of the request, when it arrived: Unix milliseconds. */
  readonly at: number
  /** `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; else the HTTP method in lower case. */
  readonly verb: string
  readonly path: string
  /** Who acted: the impersonated user where there is one. */
  readonly user: string
  readonly userAgent: string
  /** Empty for the core group and for what is no resource. */
  readonly group: string
  readonly resource: string
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  /** Undefined while it is not answered, and where the server was killed before. */
  readonly code: number | undefined
}

/** What must be equal; `verbs` names alternatives. */
export type AuditFilter = Partial<Omit<AuditEvent, 'at' | 'verb' | 'path' | 'userAgent'>> & {
  readonly verbs?: readonly string[]
}

/** The verbs that change something. */
export const WRITES: readonly string[] = ['create', 'update', 'patch', 'delete', 'deletecollection']

/** Metadata of every request, on arrival and when answered; the arrival is written before the request is handled. */
export const AUDIT_POLICY = 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n'

/** How long an unanswered request holds up a reader: one that hangs must not hold it for good. */
const UNANSWERED_MS = 1_000

type Entry = {
  readonly auditID: string
  readonly stage: 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic'
  readonly verb: string
  readonly requestURI: string
  readonly userAgent?: string
  readonly user: { readonly username: string }
  readonly impersonatedUser?: { readonly username: string }
  readonly objectRef?: Partial<Record<'apiGroup' | 'resource' | 'subresource' | 'namespace' | 'name', string>>
  readonly responseStatus?: { readonly code?: number }
  readonly requestReceivedTimestamp: string
}

export interface AuditLog {
  /** Every request that was answered before the call, and some after it, in the order of their arrival. */
  events(filter?: AuditFilter): Promise<readonly AuditEvent[]>
  /** The server is gone: what is unanswered stays so. */
  serverEnded(): void
}

/** Reads the log as it grows. */
export function createAuditLog(file: string): AuditLog {
  const events = new Map<string, AuditEvent>()
  const unanswered = new Set<string>()
  const tail = createTail(file)
  const take = (line: string) => {
    const entry = JSON.parse(line) as Entry
    events.set(entry.auditID, eventOf(entry))
    if (entry.stage === 'RequestReceived') unanswered.add(entry.auditID)
    else unanswered.delete(entry.auditID)
  }
  const read = () => {
    for (const line of tail()) take(line)
  }
  const forget = (ids: Iterable<string>) => {
    for (const id of ids) unanswered.delete(id)
  }
  return {
    events: async (filter = {}) => {
      read()
      // The answer leaves the server a little before its entry is written.
      const waitedFor = [...unanswered]
      const areWritten = () => {
        read()
        return !waitedFor.some((id) => unanswered.has(id))
      }
      await until('the log is complete', areWritten, UNANSWERED_MS).catch(() => forget(waitedFor))
      return [...events.values()].filter((event) => matches(event, filter))
    },
    serverEnded: () => {
      read()
      forget([...unanswered])
    },
  }
}

function matches(event: AuditEvent, { verbs, ...equal }: AuditFilter): boolean {
  if (verbs !== undefined && !verbs.includes(event.verb)) return false
  return Object.entries(equal).every(([field, value]) => event[field as keyof AuditEvent] === value)
}

function eventOf(entry: Entry): AuditEvent {
  const { apiGroup = '', resource = '', subresource = '', namespace = '', name = '' } = entry.objectRef ?? {}
  return {
    at: Date.parse(entry.requestReceivedTimestamp),
    verb: entry.verb,
    path: entry.requestURI,
    user: (entry.impersonatedUser ?? entry.user).username,
    userAgent: entry.userAgent ?? '',
    group: apiGroup,
    resource,
    subresource,
    namespace,
    name,
    code: entry.responseStatus?.code,
  }
}

/** @returns what gives the whole lines that were added since the last call; none while there is no file */
function createTail(file: string): () => readonly string[] {
  let offset = 0
  let rest = Buffer.alloc(0)
  const added = (): Buffer => {
    const descriptor = openSync(file, 'r')
    try {
      const piece = Buffer.alloc(fstatSync(descriptor).size - offset)
      const length = readSync(descriptor, piece, 0, piece.length, offset)
      offset += length
      return piece.subarray(0, length)
    } finally {
      closeSync(descriptor)
    }
  }
  return () => {
    const text = Buffer.concat([rest, added()])
    const end = text.lastIndexOf(0x0a) + 1
    rest = text.subarray(end)
    return end === 0
      ? []
      : text
          .subarray(0, end - 1)
          .toString()
          .split('\n')
  }
}
