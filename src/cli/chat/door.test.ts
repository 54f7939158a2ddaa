import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { ApiError, type PodPort, type PortForwarder } from '../../kube/index.ts'
import { type Door, type DoorTarget, openDoor } from './door.ts'

/** Pods by name: servers of this process. What is not among them is gone. */
class Pods {
  readonly #servers = new Map<string, Server>()
  readonly asked: PodPort[] = []

  async start(name: string): Promise<void> {
    const server = createServer((_request, response) => response.end(name))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    this.#servers.set(name, server)
  }

  async kill(name: string): Promise<void> {
    const server = this.#servers.get(name)
    this.#servers.delete(name)
    server?.closeAllConnections()
    await new Promise((resolve) => server?.close(resolve))
  }

  async end(): Promise<void> {
    for (const name of [...this.#servers.keys()]) await this.kill(name)
  }

  readonly forward: PortForwarder = async (stream, target) => {
    this.asked.push(target)
    const server = this.#servers.get(target.pod)
    if (server === undefined)
      throw new ApiError({ code: 404, reason: 'NotFound', message: `pod ${target.pod} is not there` })
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    stream.pipe(socket).pipe(stream)
    stream.once('close', () => socket.destroy())
    socket.once('close', () => stream.destroy())
    socket.on('error', () => undefined)
  }
}

describe('a door', () => {
  const pods = new Pods()
  const moves: string[] = []
  let door: Door
  const open = async (next: () => string, forward = pods.forward) => {
    const target = async (): Promise<DoorTarget> => ({ namespace: 'team', name: next(), port: 7777 })
    const onMove = (pod: string) => void moves.push(pod)
    door = await openDoor({ forward, next: target, onMove, signal: new AbortController().signal })
  }
  const ask = async () => (await fetch(door.url, { headers: { connection: 'close' } })).text()
  afterEach(async () => {
    await door[Symbol.asyncDispose]()
    await pods.end()
    moves.length = 0
    pods.asked.length = 0
  })

  test('carries a call to the pod behind it, and the answer back', async () => {
    await pods.start('a')
    await open(() => 'a')
    expect(await ask()).toBe('a')
    expect(pods.asked).toEqual([{ namespace: 'team', pod: 'a', port: 7777 }])
    expect(new URL(door.url).hostname).toBe('127.0.0.1')
  })

  test('goes to another pod when one is gone, and tells to which', async () => {
    await pods.start('a')
    await pods.start('b')
    let present = 'a'
    await open(() => present)
    await ask()
    await pods.kill('a')
    present = 'b'
    expect(await ask()).toBe('b')
    expect(moves).toEqual(['a', 'b'])
  })

  test('asks again for a pod that went away between being chosen and being called', async () => {
    await pods.start('b')
    const names = ['a', 'b']
    await open(() => names.shift() ?? 'b')
    expect(await ask()).toBe('b')
    expect(moves).toEqual(['b'])
  })

  test('tells why nothing answers, and forgets it when something does', async () => {
    await open(() => 'a')
    await expect(ask()).rejects.toThrow()
    expect(door.trouble).toBe('pod a is not there')
    expect(pods.asked).toHaveLength(3)
    await pods.start('a')
    await ask()
    expect(door.trouble).toBeUndefined()
  })

  test('asks once only for what is forbidden', async () => {
    let asked = 0
    await open(
      () => 'a',
      async () => {
        asked += 1
        throw new ApiError({ code: 403, reason: 'Forbidden', message: 'you may not' })
      },
    )
    await expect(ask()).rejects.toThrow()
    expect([asked, door.trouble]).toEqual([1, 'you may not'])
  })
})
