import type { Incident, ItemId } from '../../api/index.ts'
import type { PodState } from '../ports.ts'
import type { Difference } from '../sync/difference.ts'

/** What an Event says, besides what it is about. */
export type UnitEvent = {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly action: string
  readonly note: string
  /** Of what is told often and in many words: what makes it the same. */
  readonly correlation?: string
  /** How many times it happened, where that is known. */
  readonly count?: number
}

/** What was done when code of a bundle failed. */
export const INCIDENT_ACTION = 'Run'

/** Of something that went wrong in code of a bundle. @param pod where */
export function incidentEvent(pod: string, incident: Incident): UnitEvent {
  const { reason, message, bundle, file, line, column, point, cause, agent, count } = incident
  const place = [file, line, line === undefined ? undefined : column].filter((part) => part !== undefined).join(':')
  const where = [
    `bundle ${bundle}`,
    ...(place === '' ? [] : [place]),
    ...(agent === undefined ? [] : [`run of ${agent}`]),
  ]
  const note = `pod ${pod}, ${where.join(', ')}: ${message}`
  const correlation = JSON.stringify([pod, bundle, file, point, cause])
  return { type: 'Warning', reason, action: INCIDENT_ACTION, note, correlation, count }
}

/** Of each item that a pod has from a dynamic call, and that a difference replaces. */
export const takeovers = ({ items }: PodState, rest: Difference): (readonly [ItemId, UnitEvent])[] =>
  Object.keys(rest.items)
    .filter((id) => items.get(id)?.owner === 'api')
    .map((id) => {
      const note = `${id} was added by a dynamic call; this object replaces it`
      return [id, { type: 'Normal', reason: 'TakenOver', action: 'Activate', note }]
    })
