/** `bootId/seq`, taken apart: a process and the number of one of its events. */
export type EventId = { readonly bootId: string; readonly seq: number }

/** Undefined for anything else. */
export function parseEventId(id: string): EventId | undefined {
  const [, bootId, digits] = /^(.+)\/(\d{1,15})$/s.exec(id) ?? []
  return bootId === undefined ? undefined : { bootId, seq: Number(digits) }
}

export const formatEventId = ({ bootId, seq }: EventId): string => `${bootId}/${seq}`
