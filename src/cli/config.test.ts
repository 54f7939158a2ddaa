import { describe, expect, test } from '@jest/globals'
import { chatConfig } from './chat/config.ts'
import { devConfig, parseConfig, runtimeConfig } from './config.ts'

describe('a command’s configuration', () => {
  test('has defaults', () => {
    expect(parseConfig(devConfig, {}, {})).toEqual({
      port: 7777,
      host: '127.0.0.1',
      metricsPort: 9464,
      once: false,
      hotReload: true,
      reloadLog: false,
    })
  })

  test('takes HOT_RELOAD_ENABLED under the name that Agent Zero gave it', () => {
    expect(parseConfig(runtimeConfig, {}, { HOT_RELOAD_ENABLED: 'False' }).hotReload).toBe(false)
    expect(parseConfig(runtimeConfig, { hotReload: 'true' }, { HOT_RELOAD_ENABLED: 'false' }).hotReload).toBe(true)
    expect(() => parseConfig(runtimeConfig, {}, { HOT_RELOAD_ENABLED: 'maybe' })).toThrow('HOT_RELOAD_ENABLED must be')
  })

  test('takes a flag before its variable, and the variable before the default', () => {
    const environment = { MIDFLIGHT_PORT: '8000', MIDFLIGHT_METRICS_PORT: '8001', MIDFLIGHT_ONCE: 'true' }
    expect(parseConfig(devConfig, { port: '9000' }, environment)).toMatchObject({
      port: 9000,
      metricsPort: 8001,
      once: true,
    })
  })

  test('takes a list from a variable', () => {
    const { bundle } = parseConfig(runtimeConfig, {}, { MIDFLIGHT_BUNDLE: 'a=x,b=y/z' })
    expect(bundle).toEqual([
      { name: 'a', directory: 'x' },
      { name: 'b', directory: 'y/z' },
    ])
  })

  test.each([
    [{ port: 'x' }, {}, '--port must be a number'],
    [{ port: '70000' }, {}, '--port must be at most 65535'],
    [{}, { MIDFLIGHT_METRICS_PORT: '1.5' }, 'MIDFLIGHT_METRICS_PORT must be a whole number'],
    [{ bundle: ['Nope'] }, {}, '--bundle "Nope" must be NAME=DIR'],
    [{ drainSeconds: '-1' }, {}, '--drain-seconds must be a whole number of seconds from 0 to 3600'],
    [{ drainSeconds: 'soon' }, {}, '--drain-seconds must be a whole number of seconds'],
    [{ isolation: 'thread' }, {}, '--isolation must be process'],
    [{}, { MIDFLIGHT_INSECURE_NO_AUTH: 'maybe' }, 'MIDFLIGHT_INSECURE_NO_AUTH'],
  ])('%j with %j is refused by name', (flags, environment, message) => {
    expect(() => parseConfig(runtimeConfig, flags, environment)).toThrow(message)
  })

  test('wants a URL of the API without its last slash', () => {
    expect(parseConfig(chatConfig, { url: 'http://localhost:1/' }, {}).url).toBe('http://localhost:1')
    expect(() => parseConfig(chatConfig, { url: 'localhost:7777' }, {})).toThrow('--url must be an http or https URL')
  })
})
