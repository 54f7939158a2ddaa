import { type Token, Tokens } from './tokens.ts'

/**
 * What a token adds to the depth of the compiler's recursion at most, in about 100 bytes of its stack. Measured with
 * oxc-transform 0.158 for each form of nesting and of chain that the languages have.
 */
const COST: Readonly<Record<string, number>> = {
  word: 6,
  literal: 0,
  template: 3,
  '(': 6,
  '{': 6,
  '[': 10,
  '${': 10,
  '<': 6,
  '=>': 6,
}
const COST_OF_OTHERS = 3
/** Of one character, at most, as in the name of a namespace. */
const COST_OF_CHARACTER = 14
/** What a namespace adds, and each point in its name, which is a namespace within a namespace. */
const COST_OF_NAMESPACE = 22

/** A quarter of the stack that a process has as a rule, 8 MiB. */
const MAX_DEPTH = 20_000

/** What is open: a bracket, `${` or, as far as one can tell, a list of type arguments. */
type Level = {
  readonly opener: string
  /** Depth within it, before anything else. */
  readonly base: number
  /** Depth to which a comma goes back: that of its statement. */
  floor: number
  /** Whether what closes it is the end of a value. */
  readonly isValue: boolean
}

const CLOSERS: Readonly<Record<string, string>> = { ')': '(', ']': '[', '}': '{' }

/** Words that go on with the statement before them. */
const CONTINUING = new Set('else while catch finally in of instanceof as satisfies is extends implements'.split(' '))
/** Words that a statement follows. */
const CONTROL = new Set(['if', 'else', 'for', 'while', 'do', 'with'])
/** Words with something in parentheses that is no value. */
const HEADED = new Set(['if', 'for', 'while', 'with'])
/** Words that are never the end of a value, but for variables of that name. */
const RESERVED = new Set(
  'return typeof case in instanceof new delete void throw do else yield await extends default class function'.split(
    ' ',
  ),
)
const CONTEXTUAL = new Set(
  'async of as satisfies is keyof readonly infer unique asserts abstract namespace module'.split(' '),
)

/**
 * Where a source begins to be nested, or chained, deeper than the compiler's recursion bears: it would end the process.
 * Looks at tokens only, and rather too early than too late: what closes nothing and ends nothing is taken to nest.
 * @returns an offset in the text; undefined when all is well
 */
export function tooDeepAt(text: string): number | undefined {
  return text.length * COST_OF_CHARACTER <= MAX_DEPTH ? undefined : new Nesting(text).tooDeepAt()
}

class Nesting {
  readonly #tokens: Tokens
  readonly #levels: Level[] = []
  #level: Level = { opener: '', base: 0, floor: 0, isValue: false }
  #depth = 0
  #before: Token = ';'
  /** The word before, and the one before that. */
  #word = ''
  #wordBefore = ''
  /** Whether what came before is the end of a value. */
  #isValue = false
  #isNamespace = false

  constructor(text: string) {
    this.#tokens = new Tokens(text)
  }

  tooDeepAt(): number | undefined {
    for (let token = this.#tokens.next(); token !== ''; token = this.#tokens.next()) {
      this.#read(token)
      if (this.#depth > MAX_DEPTH) return this.#tokens.start
    }
    return undefined
  }

  #read(token: Token): void {
    const word = token === 'word' ? this.#tokens.word : ''
    if (this.#endsStatement(token, word)) this.#endStatement()
    this.#depth += this.#costOf(token)
    this.#isValue = token === 'word' ? this.#readWord(word) : this.#readOther(token)
    this.#before = token
    this.#wordBefore = this.#word
    this.#word = word
  }

  #costOf(token: Token): number {
    if (token === '.' && this.#isNamespace) return COST_OF_NAMESPACE
    return COST[token] ?? COST_OF_OTHERS
  }

  #endsStatement(token: Token, word: string): boolean {
    if (CONTINUING.has(word)) return false
    if (this.#before === ';') return true
    if (token !== 'word' && token !== 'literal') return false
    return this.#before === '}' || (this.#isValue && this.#tokens.isOnNewLine)
  }

  #endStatement(): void {
    while (this.#level.opener === '<') this.#leave()
    this.#level.floor = this.#level.base
    this.#depth = this.#level.base
  }

  /** @returns whether the word is the end of a value; so do the readers below */
  #readWord(word: string): boolean {
    const isName = this.#before === '.'
    const isNamespace = !isName && (word === 'namespace' || word === 'module')
    if (isNamespace) this.#depth += COST_OF_NAMESPACE
    this.#isNamespace = isNamespace || (this.#isNamespace && (isName || this.#word !== ''))
    if (isName) return true
    if (CONTROL.has(word)) this.#level.floor = this.#depth
    return !(RESERVED.has(word) || CONTEXTUAL.has(word) || CONTROL.has(word))
  }

  #readOther(token: Token): boolean {
    if (token !== '.') this.#isNamespace = false
    switch (token) {
      case 'literal':
        return true
      case 'template':
        return this.#readTemplate()
      case '(':
      case '[':
      case '{':
      case '<':
        return this.#enter(token)
      case ')':
      case ']':
      case '}':
        return this.#close(token)
      case '>':
        // Only a list ends here, if at all: chains of comparisons go on.
        if (this.#level.opener === '<') this.#leave()
        return false
      case ',':
        this.#depth = this.#level.floor
        return false
      case '/':
        return this.#readSlash()
      default:
        return false
    }
  }

  #enter(opener: string): boolean {
    const isHeader = this.#before === 'word' && (HEADED.has(this.#word) || this.#isForAwait)
    this.#levels.push(this.#level)
    this.#level = { opener, base: this.#depth, floor: this.#depth, isValue: !(opener === '(' && isHeader) }
    return false
  }

  get #isForAwait(): boolean {
    return this.#word === 'await' && this.#wordBefore === 'for'
  }

  #leave(): Level {
    const left = this.#level
    this.#level = this.#levels.pop() ?? left
    return left
  }

  #close(closer: string): boolean {
    while (this.#level.opener === '<') this.#leave()
    if (closer === '}' && this.#level.opener === '${') {
      this.#depth = this.#leave().base
      return this.#readTemplate()
    }
    // What closes nothing is a mistake, with which the compiler ends.
    if (this.#level.opener !== CLOSERS[closer]) return true
    const { base, isValue } = this.#leave()
    this.#depth = base
    return isValue
  }

  #readTemplate(): boolean {
    if (!this.#tokens.template()) return true
    this.#depth += COST['${'] ?? 0
    return this.#enter('${')
  }

  /** A division, or a regular expression; when in doubt the latter, which costs what a division could hide in it. */
  #readSlash(): boolean {
    const isDivision = this.#isValue && this.#before !== '}'
    const { start } = this.#tokens
    if (isDivision || !this.#tokens.regularExpression()) return false
    const isSure = this.#before === 'word' ? RESERVED.has(this.#word) : !'})+->!'.includes(this.#before)
    if (!isSure) {
      this.#depth += (this.#tokens.end - start) * COST_OF_CHARACTER
      this.#level.floor = this.#depth
    }
    return true
  }
}
