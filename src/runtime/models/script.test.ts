import { describe, expect, test } from '@jest/globals'
import { answerOf, checkScript, compileScript, fillReply } from './script.ts'

const variables = { agent: 'support', message: 'weather in Paris', result: 'sunny', instructions: 'Be nice.' }

describe('a script', () => {
  test('the first entry that matches the message answers', () => {
    const script = compileScript([
      { match: 'Paris', reply: 'one' },
      { match: '.*', reply: 'two' },
    ])
    expect(answerOf(script, variables, true)).toEqual({ type: 'text', text: 'one' })
    expect(answerOf(script, { ...variables, message: 'Rome' }, true)).toEqual({ type: 'text', text: 'two' })
  })

  test('an entry with a call calls once, then answers its reply, which is the result by default', () => {
    const call = { tool: 'weather', arguments: { city: 'Paris' } }
    const script = compileScript([{ match: 'weather', call }])
    expect(answerOf(script, variables, true)).toEqual({ type: 'call', ...call })
    expect(answerOf(script, variables, false)).toEqual({ type: 'text', text: 'sunny' })
    const quoting = compileScript([{ match: 'weather', call, reply: 'It is {{result}}.' }])
    expect(answerOf(quoting, variables, false)).toEqual({ type: 'text', text: 'It is sunny.' })
  })

  test('says so when no entry matches', () => {
    expect(answerOf(compileScript([{ match: 'x^', reply: 'never' }]), variables, true)).toEqual({
      type: 'text',
      text: 'No entry of the script matches this message.',
    })
  })

  test('fills in every variable, and leaves others as they are', () => {
    const reply = '{{agent}}|{{ message }}|{{result}}|{{instructions}}|{{other}}|{{constructor}}'
    expect(fillReply(reply, variables)).toBe('support|weather in Paris|sunny|Be nice.|{{other}}|{{constructor}}')
  })

  test('never fills in what a value holds', () => {
    expect(
      fillReply('{{message}} {{result}}', { ...variables, message: '{{result}} $& $1', result: '{{message}}' }),
    ).toBe('{{result}} $& $1 {{message}}')
  })

  test('names the entry whose match is no regular expression', () => {
    const entries = [
      { match: 'ok', reply: 'x' },
      { match: '(', reply: 'x' },
    ]
    expect(checkScript(entries, 'spec.models[0].script')).toMatchObject({
      reason: 'InvalidSpec',
      path: 'spec.models[0].script[1].match',
      message: expect.stringContaining('is not a regular expression'),
    })
    expect(checkScript(entries.slice(0, 1))).toBeUndefined()
    expect(() => compileScript(entries)).toThrow('script[1].match')
  })
})
