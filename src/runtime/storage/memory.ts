import type { SessionKey, SessionMessage, SessionStore } from './port.ts'

export type MemoryLimits = {
  /** Most sessions; the one unused for longest goes first. */
  readonly sessions: number
  /** Most appends kept of one session; the oldest goes first. */
  readonly appends: number
  /** Most characters of all sessions together; sessions unused for longest go first. */
  readonly characters: number
}

export const MEMORY_LIMITS: MemoryLimits = { sessions: 10_000, appends: 100, characters: 64 * 1024 * 1024 }

type Append = readonly SessionMessage[]

/** Sessions in memory, bounded in number and size. They end with the process. */
export function createMemorySessions(limits: Partial<MemoryLimits> = {}): SessionStore {
  const { sessions: maxSessions, appends: maxAppends, characters: maxCharacters } = { ...MEMORY_LIMITS, ...limits }
  const sessions = new Map<string, readonly Append[]>()
  let characters = 0

  /** A Map keeps its keys in order of insertion: the last is the one used last. */
  function put(id: string, appends: readonly Append[]): void {
    remove(id)
    sessions.set(id, appends)
    characters += sizeOf(appends)
  }

  function remove(id: string): void {
    characters -= sizeOf(sessions.get(id) ?? [])
    sessions.delete(id)
  }

  function evict(): void {
    while (sessions.size > maxSessions || characters > maxCharacters) {
      const [oldest] = sessions.keys()
      if (oldest === undefined) return
      remove(oldest)
    }
  }

  return {
    history: async (key, limit) => {
      const id = idOf(key)
      const appends = sessions.get(id)
      if (appends === undefined) return []
      put(id, appends)
      return limit > 0 ? appends.flat().slice(-limit) : []
    },
    append: async (key, messages) => {
      const id = idOf(key)
      put(id, [...(sessions.get(id) ?? []), [...messages]].slice(-maxAppends))
      evict()
    },
  }
}

const idOf = ({ kind, name, id }: SessionKey): string => `${kind}/${name}/${id}`

const sizeOf = (appends: readonly Append[]): number =>
  appends.reduce((sum, messages) => sum + messages.reduce((inner, { text }) => inner + text.length, 0), 0)
