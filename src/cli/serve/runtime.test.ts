import { type IncomingMessage, request } from 'node:http'
import { afterEach, expect, test } from '@jest/globals'
import { type Cli, startCli } from '../cli.fixture.ts'

let cli: Cli | undefined
afterEach(() => {
  cli?.child.kill('SIGKILL')
})

/** The status of a call that names this host. */
const asked = (url: string, host: string) =>
  new Promise<number | undefined>((resolve, reject) => {
    const answered = (res: IncomingMessage) => {
      res.resume()
      resolve(res.statusCode)
    }
    request(`${url}/agents`, { headers: { host } }, answered).once('error', reject).end()
  })

test('a runtime without a key is called by the names that it is given, and by no other', async () => {
  const names = ['--allow-host', 'Main-Runtime', '--allow-host', 'main-runtime.team.svc']
  cli = startCli(['runtime', '--port', '0', '--metrics-port', '0', '--insecure-no-auth', ...names])
  const [, url = ''] = await cli.sees(/API +(\S+)/)
  const hosts = ['main-runtime:7777', 'main-runtime.team.svc', '10.0.0.7:7777', 'other.team.svc', 'example.com']
  expect(await Promise.all(hosts.map((host) => asked(url, host)))).toEqual([200, 200, 200, 403, 403])
}, 30_000)
