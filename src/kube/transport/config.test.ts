import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { stringify } from 'yaml'
import { inClusterConfig, kubeconfigConfig } from './config.ts'

describe('in a cluster', () => {
  test('the configuration is the ServiceAccount and the address of the API server', () => {
    expect(inClusterConfig({ host: '10.0.0.1', port: '443', directory: '/sa' })).toEqual({
      server: 'https://10.0.0.1:443',
      ca: { file: '/sa/ca.crt' },
      credentials: { type: 'tokenFile', file: '/sa/token' },
    })
    expect(inClusterConfig({ host: 'fd00::1', port: '443' })).toMatchObject({
      server: 'https://[fd00::1]:443',
      credentials: { file: '/var/run/secrets/kubernetes.io/serviceaccount/token' },
    })
  })

  test('there is none without an address', () => {
    expect(inClusterConfig({ host: undefined, port: '443' })).toBeUndefined()
    expect(inClusterConfig({ host: '10.0.0.1', port: '' })).toBeUndefined()
  })
})

describe('a kubeconfig', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'midflight-kubeconfig-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  const write = async ({ user = {}, cluster = {} }: { user?: object; cluster?: object } = {}) => {
    const file = join(folder, 'config')
    const contexts = [
      { name: 'here', context: { cluster: 'c', user: 'u', namespace: 'team' } },
      { name: 'there', context: { cluster: 'd', user: 'u' } },
    ]
    const clusters = [
      { name: 'c', cluster: { server: 'https://here:6443', ...cluster } },
      { name: 'd', cluster: { server: 'https://there:6443' } },
    ]
    const users = [{ name: 'u', user }]
    await writeFile(
      file,
      stringify({ apiVersion: 'v1', kind: 'Config', 'current-context': 'here', contexts, clusters, users }),
    )
    return file
  }
  const read = async (file: string, fresh = false) => {
    const { credentials } = await kubeconfigConfig({ file })
    if (credentials.type !== 'source') throw new Error('a kubeconfig is a source')
    return credentials.read(fresh)
  }

  test('gives the server and the namespace of its current context, or of the one that is named', async () => {
    const file = await write()
    expect(await kubeconfigConfig({ file })).toMatchObject({ server: 'https://here:6443', namespace: 'team' })
    const other = await kubeconfigConfig({ file, context: 'there' })
    expect([other.server, other.namespace]).toEqual(['https://there:6443', undefined])
  })

  test('gives tokens, certificates, names and passwords', async () => {
    const pem = (text: string) => Buffer.from(text).toString('base64')
    expect(await read(await write({ user: { token: 't' } }))).toEqual({
      tls: {},
      headers: { authorization: 'Bearer t' },
    })
    expect((await read(await write({ user: { username: 'u', password: 'p' } }))).headers).toEqual({
      authorization: `Basic ${pem('u:p')}`,
    })
    const user = { 'client-certificate-data': pem('CERT'), 'client-key-data': pem('KEY') }
    const cluster = { 'certificate-authority-data': pem('CA'), 'tls-server-name': 'kubernetes' }
    expect((await read(await write({ user, cluster }))).tls).toEqual({
      ...{ ca: 'CA', cert: 'CERT', key: 'KEY', serverName: 'kubernetes' },
    })
    expect((await read(await write({ cluster: { 'insecure-skip-tls-verify': true } }))).tls).toEqual({
      skipVerify: true,
    })
  })

  test('reads a token file, beside it, as often as it is asked', async () => {
    const file = await write({ user: { tokenFile: 'token', token: 'older' } })
    await writeFile(join(folder, 'token'), 'one\n')
    expect((await read(file)).headers).toEqual({ authorization: 'Bearer one' })
    await writeFile(join(folder, 'token'), 'two\n')
    expect((await read(file)).headers).toEqual({ authorization: 'Bearer two' })
    await writeFile(join(folder, 'token'), '')
    await expect(read(file)).rejects.toMatchObject({ reason: 'CredentialsUnavailable' })
  })

  test('may name a server without TLS, as `kubectl proxy` is', async () => {
    const file = await write({ cluster: { server: 'http://127.0.0.1:8001' } })
    expect((await kubeconfigConfig({ file })).server).toBe('http://127.0.0.1:8001')
    expect((await read(file)).headers).toEqual({})
  })

  test('asks a credential plugin once, and again when what it gave was refused', async () => {
    const calls = join(folder, 'calls')
    const plugin = join(folder, 'plugin.sh')
    const credential = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: '$n' },
    }
    const json = JSON.stringify(credential).replaceAll('"', '\\"')
    await writeFile(plugin, `#!/bin/sh\necho x >> ${calls}\nn=$(wc -l < ${calls})\necho "${json}"\n`, { mode: 0o755 })
    const file = await write({ user: { exec: { apiVersion: credential.apiVersion, command: plugin } } })
    const { credentials } = await kubeconfigConfig({ file })
    const tokens: unknown[] = []
    for (const fresh of [false, false, true]) {
      if (credentials.type === 'source') tokens.push((await credentials.read(fresh)).headers.authorization)
    }
    expect(tokens).toEqual(['Bearer 1', 'Bearer 1', 'Bearer 2'])
  })

  test('whose plugin fails says which, and nothing of what it printed', async () => {
    const plugin = join(folder, 'broken.sh')
    await writeFile(plugin, '#!/bin/sh\necho secret\necho secret >&2\nexit 1\n', { mode: 0o755 })
    const error = await read(await write({ user: { exec: { apiVersion: 'v1', command: plugin } } })).catch(String)
    expect(error).toContain(`the credential plugin ${plugin} did not yield credentials`)
    expect(error).not.toContain('secret')
  })

  test.each<[string, () => Promise<{ file: string; context?: string }>, string]>([
    ['is missing', async () => ({ file: join(folder, 'none') }), 'cannot be read as a kubeconfig (ENOENT)'],
    [
      'has no such context',
      async () => ({ file: await write(), context: 'x' }),
      'has no context "x"; it has here, there',
    ],
    [
      'is behind a proxy',
      async () => ({ file: await write({ cluster: { 'proxy-url': 'http://p' } }) }),
      'proxy-url is not supported; name the server itself',
    ],
    [
      'names no URL',
      async () => ({ file: await write({ cluster: { server: 'here' } }) }),
      "the cluster's server must be a URL with https:// or http://",
    ],
    [
      'names a URL without a host',
      async () => ({ file: await write({ cluster: { server: 'https://:6443' } }) }),
      "the cluster's server must be a URL with https:// or http://",
    ],
  ])('that %s is an error that says what to mend', async (_case, options, message) => {
    const { file, context } = await options()
    const config = kubeconfigConfig({ file, ...(context === undefined ? {} : { context }) })
    await expect(config).rejects.toMatchObject({ code: 0, reason: 'InvalidKubeconfig', message: `${file}: ${message}` })
  })

  test('that is no YAML is an error without its content', async () => {
    const file = join(folder, 'config')
    await writeFile(file, 'users: [{token: secret')
    const error = await kubeconfigConfig({ file }).catch(String)
    expect(error).toContain('cannot be read as a kubeconfig')
    expect(error).not.toContain('secret')
  })
})
