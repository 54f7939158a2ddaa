/** What a token is: a word, a literal, one half of a template, the end of the text, or else the punctuator itself. */
export type Token = 'word' | 'literal' | 'template' | '' | (string & {})

const SPACE = 32
const STAR = 42
const SLASH = 47
const BACKSLASH = 92
const BACKQUOTE = 96

const NEWLINE = /[\n\r\u2028\u2029]/g
const isNewline = (code: number) => code === 10 || code === 13 || code === 0x20_28 || code === 0x20_29

/** Of which kind each ASCII character is; all others are letters, but for a few spaces. */
const KINDS = Array.from({ length: 128 }, (_, code) => {
  const char = String.fromCharCode(code)
  if (code <= SPACE) return 'space'
  if (/[\w$#\\]/.test(char)) return /\d/.test(char) ? 'digit' : 'letter'
  return char === '"' || char === "'" ? 'quote' : 'punctuator'
})
const kindOf = (code: number) => KINDS[code] ?? (/\s/.test(String.fromCharCode(code)) ? 'space' : 'letter')
const isOfWord = (code: number) => {
  const kind = kindOf(code)
  return kind === 'letter' || kind === 'digit'
}

/** Punctuators of two equal characters that are always one. */
const DOUBLED = new Set(['&', '|', '?', '=', '*'])

/** Reads JavaScript or TypeScript token by token, each character once. */
export class Tokens {
  readonly text: string
  /** Where the token begins. */
  start = 0
  /** Where the next one is looked for. */
  end = 0
  /** Whether a new line began before the token. */
  isOnNewLine = false

  constructor(text: string) {
    this.text = text
  }

  /** The next token. One that begins with a slash is a division: who asks knows whether it may be a regular expression. */
  next(): Token {
    this.isOnNewLine = false
    this.#skipSpace()
    const { text } = this
    const at = this.end
    this.start = at
    if (at >= text.length) return ''
    const code = text.charCodeAt(at)
    const kind = kindOf(code)
    if (kind === 'quote') this.end = this.#endOfString(code)
    else if (kind === 'punctuator') return this.#punctuator(code)
    else this.#readWord()
    return kind === 'letter' ? 'word' : 'literal'
  }

  get word(): string {
    return this.text.slice(this.start, this.end)
  }

  /** Reads a template on, from behind its quote or a closed `${}`. @returns whether it stopped at the next `${` */
  template(): boolean {
    const { text } = this
    for (; this.end < text.length; this.end += 1) {
      const code = text.charCodeAt(this.end)
      if (code === BACKSLASH) this.end += 1
      else if (code === BACKQUOTE) {
        this.end += 1
        return false
      } else if (text.startsWith('${', this.end)) {
        this.end += 2
        return true
      }
    }
    return false
  }

  /** Reads on to the end of the regular expression that begins at the token. @returns false when none ends on the line */
  regularExpression(): boolean {
    const { text } = this
    let isInClass = false
    for (let at = this.start + 1; at < text.length; at += 1) {
      const char = text[at]
      if (isNewline(text.charCodeAt(at))) return false
      if (char === '\\') at += 1
      else if (char === '[') isInClass = true
      else if (char === ']') isInClass = false
      else if (char === '/' && !isInClass) {
        this.end = at + 1
        return true
      }
    }
    return false
  }

  #readWord(): void {
    const { text } = this
    for (; this.end < text.length && isOfWord(text.charCodeAt(this.end)); this.end += 1) {
      if (!text.startsWith('\\u{', this.end)) continue
      const close = text.indexOf('}', this.end)
      if (close !== -1) this.end = close
    }
  }

  #punctuator(code: number): Token {
    const { text } = this
    const char = String.fromCharCode(code)
    const following = text[this.end + 1]
    const isLong = (DOUBLED.has(char) && following === char) || (char === '<' && following === '=')
    const isArrow = char === '=' && following === '>'
    this.end += isLong || isArrow ? 2 : 1
    if (code === BACKQUOTE) return 'template'
    if (isArrow) return '=>'
    return isLong ? char + following : char
  }

  #skipSpace(): void {
    const { text } = this
    for (; this.end < text.length; this.end += 1) {
      const code = text.charCodeAt(this.end)
      if (isNewline(code)) this.isOnNewLine = true
      else if (code === SLASH) {
        if (!this.#skipComment()) return
      } else if (kindOf(code) !== 'space') return
    }
  }

  /** To the last character of the comment that begins here. @returns false when none does */
  #skipComment(): boolean {
    const { text } = this
    const second = text.charCodeAt(this.end + 1)
    if (second !== SLASH && second !== STAR) return false
    if (second === SLASH) {
      this.end = this.#newlineFrom(this.end) - 1
      return true
    }
    const found = text.indexOf('*/', this.end + 2)
    const end = found === -1 ? text.length : found + 1
    if (this.#newlineFrom(this.end) < end) this.isOnNewLine = true
    this.end = end
    return true
  }

  #newlineFrom(at: number): number {
    NEWLINE.lastIndex = at
    return NEWLINE.exec(this.text)?.index ?? this.text.length
  }

  /** A string ends with its line at the latest. */
  #endOfString(quote: number): number {
    const { text } = this
    for (let at = this.end + 1; at < text.length; at += 1) {
      const code = text.charCodeAt(at)
      if (code === BACKSLASH) at += text.startsWith('\r\n', at + 1) ? 2 : 1
      else if (code === quote) return at + 1
      else if (code === 10 || code === 13) return at
    }
    return text.length
  }
}
