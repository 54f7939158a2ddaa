import { nearest } from './suggest.ts'

/** A key and the word that its value begins with, past anchors, tags, block marks and comments. */
const KEY_AND_WORD = /\b(\w{2,8})["']?\s*:\s*(?:[&!]\S*\s+|[|>][-+\d]*\s+|#[^\n]*\n\s*)*["']?(\w{2,12})/g
const INLINE_KEY = /api_?key["']?\s*:(?!\s*\{?\s*["']?secretKeyRef)/i

/**
 * Whether YAML text may hold the values of a Secret, also of one whose kind is misspelt or missing. Such text is shown
 * nowhere.
 */
export function holdsSecret(text: string): boolean {
  if (/stringData/i.test(text)) return true
  const told = new Map(
    Array.from(text.matchAll(KEY_AND_WORD), ([, key = '', word = '']) => [`${key} ${word}`, { key, word }]),
  )
  return [...told.values()].some(
    ({ key, word }) => nearest(word, ['Secret']) !== undefined && nearest(key, ['kind']) !== undefined,
  )
}

/** Whether YAML text may hold an API key where only a reference to a Secret belongs. */
export const holdsInlineKey = (text: string): boolean => INLINE_KEY.test(text)
