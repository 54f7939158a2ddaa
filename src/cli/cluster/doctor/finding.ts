/** What a check found. `FAIL`: something does not work; `skip`: it could not be looked at, and why. */
export type Finding = {
  readonly level: 'ok' | 'warn' | 'FAIL' | 'skip'
  /** What was looked at, in a word or two. */
  readonly check: string
  readonly message: string
  /** What mends it: a command that can be pasted, or what to do. */
  readonly fix?: string
}

export const ok = (check: string, message: string): Finding => ({ level: 'ok', check, message })
export const warn = (check: string, message: string, fix?: string): Finding => found('warn', check, message, fix)
export const fail = (check: string, message: string, fix?: string): Finding => found('FAIL', check, message, fix)
export const skip = (check: string, message: string): Finding => ({ level: 'skip', check, message })

const found = (level: Finding['level'], check: string, message: string, fix: string | undefined): Finding => ({
  level,
  check,
  message,
  ...(fix === undefined ? {} : { fix }),
})
