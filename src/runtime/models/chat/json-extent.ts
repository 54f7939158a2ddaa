/**
 * Follows a text that comes in pieces and tells whether the JSON object or list that it begins with has ended. Looks at
 * brackets and strings only.
 */
export class JsonExtent {
  #state: 'before' | 'inside' | 'string' | 'escape' | 'ended' | 'none' = 'before'
  /** The brackets that are to close what is open. */
  #closers: string[] = []

  get hasEnded(): boolean {
    return this.#state === 'ended'
  }

  add(text: string): void {
    if (this.#state === 'ended' || this.#state === 'none') return
    for (let at = 0; at < text.length; at++) this.#take(text.charAt(at))
  }

  #take(character: string): void {
    switch (this.#state) {
      case 'before':
        if (character.trim() !== '') this.#state = this.#opens(character) ? 'inside' : 'none'
        return
      case 'string':
        if (character === '\\') this.#state = 'escape'
        else if (character === '"') this.#state = 'inside'
        return
      case 'escape':
        this.#state = 'string'
        return
      case 'inside':
        this.#takeInside(character)
        return
      case 'ended':
      case 'none':
    }
  }

  #takeInside(character: string): void {
    if (character === '"') this.#state = 'string'
    else if (!this.#opens(character) && (character === '}' || character === ']')) this.#close(character)
  }

  #opens(character: string): boolean {
    if (character !== '{' && character !== '[') return false
    this.#closers.push(character === '{' ? '}' : ']')
    return true
  }

  #close(character: string): void {
    if (this.#closers.pop() !== character) this.#state = 'none'
    else if (this.#closers.length === 0) this.#state = 'ended'
  }
}

/** Whether a text begins with a JSON object or list. */
export const beginsObject = (text: string): boolean => /^\s*[[{]/.test(text)
