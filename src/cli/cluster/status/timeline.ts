import { type Sheet, type Tone, toned } from '../table.ts'
import { clockText, printable, tookText } from '../text.ts'
import type { Change } from './changes.ts'

/** A change, when it was seen (milliseconds since 1970), and how long after what caused it. */
export type Moment = Change & {
  readonly at: number
  /** Of `served` and `refused`: milliseconds since the change that it answers was seen. */
  readonly tookMs: number | undefined
}

/** Dates changes as they are seen. */
export interface Timeline {
  /** @param seen on the wall clock (milliseconds since 1970) and on the monotonic one */
  date(change: Change, seen: { readonly now: number; readonly monotonic: number }): Moment
}

export function createTimeline(): Timeline {
  const writtenAt = new Map<string, number>()
  return {
    date: (change, { now, monotonic }) => {
      const key = `${change.namespace} ${change.subject}`
      const since = writtenAt.get(key)
      const tookMs = isAnswer(change) && since !== undefined ? monotonic - since : undefined
      if (change.type === 'declared' || change.type === 'changed') writtenAt.set(key, monotonic)
      if (change.type === 'served' || change.type === 'gone') writtenAt.delete(key)
      return { ...change, at: now, tookMs }
    },
  }
}

const isAnswer = ({ type }: Change): boolean => type === 'served' || type === 'refused'

const TONES: Readonly<Record<Change['type'], Tone | undefined>> = {
  declared: 'dim',
  changed: 'dim',
  served: 'good',
  refused: 'bad',
  waiting: 'busy',
  pod: undefined,
  incident: 'bad',
  gone: 'dim',
}

const SUBJECT_WIDTH = 22
const TYPE_WIDTH = 8

/** `12:01:03.210  agent/support  served  84 ms after the change: revision 15613aae → 99aabbcc, pods 3/3` */
export function momentLine(moment: Moment, isOneNamespace: boolean, sheet: Sheet): string {
  const { at, subject, namespace, type, text, tookMs } = moment
  const what = printable(isOneNamespace ? subject : `${namespace} ${subject}`).padEnd(SUBJECT_WIDTH)
  const became = toned(type, TONES[type], sheet) + ' '.repeat(TYPE_WIDTH - type.length)
  const after = tookMs === undefined ? '' : `${tookText(tookMs)} after the change: `
  return `${clockText(at)}  ${what}  ${became}  ${after}${printable(text)}`
}
