import type { KubeObject, ResourceType } from '../../kube/index.ts'
import { at, textAt } from './objects.ts'

export const EVENTS: ResourceType = {
  group: 'events.k8s.io',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
}

/** When an Event was told last, in milliseconds since 1970. */
export function timeOf(event: KubeObject): number {
  const times = [
    textAt(event, 'series', 'lastObservedTime'),
    textAt(event, 'deprecatedLastTimestamp'),
    textAt(event, 'eventTime'),
    event.metadata.creationTimestamp,
  ]
  return Date.parse(times.find((each) => each !== undefined) ?? '')
}

/** How often it happened. */
export function timesOf(event: KubeObject): number {
  const count = at(event, 'series', 'count') ?? at(event, 'deprecatedCount')
  return typeof count === 'number' ? count : 1
}
