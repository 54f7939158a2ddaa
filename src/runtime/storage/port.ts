import type { RunnablePlural } from '../../api/index.ts'

/** Whose conversation, and which: a session id that two agents are given names two conversations. */
export type SessionKey = { readonly kind: RunnablePlural; readonly name: string; readonly id: string }

export type SessionMessage = { readonly role: 'user' | 'assistant'; readonly text: string }

/** Keeps conversations. A store may forget what is oldest, but never part of one append before the rest of it. */
export interface SessionStore {
  /** The newest messages of a conversation, at most `limit`, oldest first. Empty for one that is not known. */
  history(key: SessionKey, limit: number): Promise<readonly SessionMessage[]>
  /** Adds messages as one: those of two appends never mix. Appends take effect in the order of the calls. */
  append(key: SessionKey, messages: readonly SessionMessage[]): Promise<void>
}
