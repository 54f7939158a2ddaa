import { ProblemError } from '../../../../api/index.ts'
import { SELF_TEST_MS } from '../../author/self-test.ts'
import type { Answer, Loaded } from '../channel/answers.ts'
import { Refused } from './calls.ts'
import { deadline } from './deadline.ts'
import { type HostEnd, HostLost, type LoadPhase } from './end.ts'

/** What loads may take above their limits until they are ended from outside, in milliseconds: code that never yields. */
const GRACE_MS = 250

/** One load of a host: how far it is, and what is said of it when it fails. */
export class Loading {
  readonly #answered = Promise.withResolvers<Loaded>()
  readonly #limitMs: number
  #phase: LoadPhase = { type: 'preparing' }
  #settled: () => void

  /** @param limitMs longest evaluation of all files; the self-tests after it have a limit of their own */
  constructor(limitMs: number) {
    this.#limitMs = limitMs
    this.#settled = deadline(limitMs + GRACE_MS, () => this.#late())
  }

  /**
   * What the host says of its code.
   * @throws Refused, HostLost, ProblemError ToolLoadTimeout, SelfTestFailed
   */
  async result(): Promise<Loaded> {
    try {
      return await this.#answered.promise
    } finally {
      this.#settled()
    }
  }

  heard(message: Extract<Answer, { type: 'evaluating' | 'checking' | 'loaded' | 'refused' }>): void {
    switch (message.type) {
      case 'evaluating':
        this.#phase = message
        return
      case 'checking':
        this.#check(message)
        return
      case 'loaded':
        this.#answered.resolve(message)
        return
      case 'refused':
        this.#answered.reject(new Refused(message.failure))
    }
  }

  lost(end: HostEnd): void {
    this.#answered.reject(new HostLost(end, true, this.#phase))
  }

  #check({ tool, file }: Extract<Answer, { type: 'checking' }>): void {
    if (this.#phase.type === 'checking') {
      this.#phase = { type: 'checking', tests: [...this.#phase.tests, { tool, file }] }
      return
    }
    this.#settled()
    this.#settled = deadline(SELF_TEST_MS + GRACE_MS, () => this.#late())
    this.#phase = { type: 'checking', tests: [{ tool, file }] }
  }

  #late(): void {
    this.#answered.reject(lateProblem(this.#phase, this.#limitMs))
  }
}

function lateProblem(phase: LoadPhase, limitMs: number): ProblemError {
  const { what, file } = placeOfPhase(phase)
  const at = file === undefined ? {} : { file }
  if (phase.type === 'checking') {
    const message = `${what} failed: it took longer than ${SELF_TEST_MS} ms, and its code never yields`
    return new ProblemError({ reason: 'SelfTestFailed', message, ...at })
  }
  const message = `${file ?? 'the bundle'} did not finish loading in ${limitMs} ms: its top-level code never ends`
  return new ProblemError({ reason: 'ToolLoadTimeout', message, ...at })
}

/** What code does at one point of a load, and its file where there is but one. */
export function placeOfPhase(phase: LoadPhase): { readonly what: string; readonly file?: string } {
  switch (phase.type) {
    case 'preparing':
      return { what: 'loading the tools' }
    case 'evaluating':
      return { what: `loading ${phase.file}`, file: phase.file }
    case 'checking': {
      const [only, ...more] = phase.tests
      if (more.length === 0) return { what: `the self-test of tool ${only.tool}`, file: only.file }
      return { what: `the self-test of one of the tools ${phase.tests.map(({ tool }) => tool).join(', ')}` }
    }
  }
}
