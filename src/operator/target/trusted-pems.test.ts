import { expect, test } from '@jest/globals'
import { includesTrust } from './trusted-pems.ts'

const pem = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`
const trusting = (...texts: readonly string[]) => ({ ca: texts.map(pem).join(''), serverName: 'main' })

test.each<[string, Parameters<typeof includesTrust>, boolean]>([
  ['the same', [trusting('a'), trusting('a')], true],
  ['one more, before or after', [trusting('b', 'a', 'c'), trusting('a')], true],
  ['the same, written otherwise', [{ ca: `  # note\n${pem('a')}\n`, serverName: 'main' }, trusting('a')], true],
  ['one less', [trusting('b'), trusting('b', 'a')], false],
  ['another', [trusting('b'), trusting('a')], false],
  ['another name', [{ ...trusting('a'), serverName: 'other' }, trusting('a')], false],
])('%s', (_what, [now, before], expected) => {
  expect(includesTrust(now, before)).toBe(expected)
})
