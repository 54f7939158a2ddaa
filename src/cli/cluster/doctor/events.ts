import type { KubeObject } from '../../../kube/index.ts'
import { EVENTS, timeOf, timesOf } from '../events.ts'
import { nameOf, textAt } from '../objects.ts'
import { isPodReady, podsOf } from '../pods.ts'
import { ageText } from '../text.ts'
import { type Finding, ok, skip, warn } from './finding.ts'
import type { Read, Reader } from './reader.ts'
import type { Declared } from './runtimes.ts'

const HOUR_MS = 3_600_000
const MOST = 10

/** Warnings of the last hour about the four kinds and the pods that serve them. @param namespace absent: all */
export async function checkEvents(
  reader: Reader,
  namespace: string | undefined,
  declared: Declared,
  now: number,
): Promise<readonly Finding[]> {
  const pods = new Map(
    declared.runtimes
      .flatMap((runtime) => podsOf(runtime, declared.pods))
      .map((pod) => [pod.metadata.name, isPodReady(pod)] as const),
  )
  return judgeEvents(await reader.list(EVENTS, { namespace }), pods, now)
}

/** @param pods of the AgentRuntimes by name, and whether they are Ready now */
export function judgeEvents(
  events: Read<readonly KubeObject[]>,
  pods: ReadonlyMap<string, boolean>,
  now: number,
): readonly Finding[] {
  if (events.type === 'refused') return [skip('events', events.why)]
  const recent = events.value
    .filter((event) => event.type === 'Warning' && now - timeOf(event) < HOUR_MS && isOurs(event, pods))
    .sort((a, b) => timeOf(b) - timeOf(a))
  if (recent.length === 0) return [ok('events', 'no warnings in the last hour')]
  const shown = recent.slice(0, MOST).map((event) => describe(event, now))
  const more = recent.length - shown.length
  return [
    ...shown,
    ...(more > 0 ? [warn('events', `and ${more} more`, 'kubectl get events -A --field-selector type=Warning')] : []),
  ]
}

/** A probe that failed while its pod started is no news when the pod is Ready. */
const isOurs = (event: KubeObject, pods: ReadonlyMap<string, boolean>): boolean => {
  const { regarding } = event
  if (textAt(regarding, 'apiVersion')?.startsWith('midflight.dev/')) return true
  const isReady = textAt(regarding, 'kind') === 'Pod' ? pods.get(textAt(regarding, 'name') ?? '') : undefined
  return isReady !== undefined && !(isReady && event.reason === 'Unhealthy')
}

function describe(event: KubeObject, now: number): Finding {
  const { regarding } = event
  const about = nameOf(textAt(regarding, 'kind') ?? '', textAt(regarding, 'name') ?? '')
  const count = timesOf(event)
  const times = count > 1 ? `, ${count} times` : ''
  const ago = ageText(Math.max(0, now - timeOf(event)))
  return warn(
    `event ${event.metadata.namespace}/${about}`,
    `${textAt(event, 'reason')} ${ago} ago${times}: ${textAt(event, 'note') ?? ''}`,
  )
}
