import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { until } from '../../../api/harness/until.ts'
import { end, isAlive, launch, logTail, runningPid } from './process.ts'
import { leftoversSince, processesOf, type Snapshot } from './snapshot.ts'

// What does not end is killed after 10 s.
jest.setTimeout(30_000)

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midflight-machine-'))
  await mkdir(join(folder, 'logs'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const IGNORES_SIGTERM =
  'process.on("SIGTERM", () => console.log("told")); setInterval(() => {}, 1000); console.log("up")'
const program = { name: 'program', program: process.execPath, args: ['-e', IGNORES_SIGTERM] }

describe('a program of the node', () => {
  test('is started once, keeps what it wrote, and is killed where it does not end', async () => {
    const pid = await launch(folder, program)
    await until('it is up', () => logTail(folder, 'program') === 'up')
    expect(await launch(folder, program)).toBe(pid)
    expect(runningPid(folder, 'program')).toBe(pid)
    await end(folder, 'program')
    expect(logTail(folder, 'program')).toBe('up\ntold')
    expect(isAlive(pid)).toBe(false)
    expect(runningPid(folder, 'program')).toBeUndefined()
  })

  test('is not taken for another that got its pid', async () => {
    await writeFile(join(folder, 'program.pid'), `${process.pid} 12345\n`)
    expect(runningPid(folder, 'program')).toBeUndefined()
  })
})

describe('what a node leaves behind', () => {
  const nothing: Snapshot = {
    ...{ processes: [], mounts: [], links: [], rules: [], tables: [], cgroups: [], files: [], settings: [] },
  }

  test('is what is there now and was not before', () => {
    const before = { ...nothing, links: ['veth1'], settings: ['net.ipv4.ip_forward = 0'] }
    const now = {
      ...nothing,
      links: ['veth1', 'veth2'],
      settings: ['net.ipv4.ip_forward = 1'],
      mounts: ['/run/netns/cni-1'],
    }
    expect(leftoversSince(before, now)).toEqual([
      'mounts: /run/netns/cni-1',
      'links: veth2',
      'settings: net.ipv4.ip_forward = 1',
    ])
    expect(leftoversSince(now, now)).toEqual([])
  })

  test('is a program with its folder in the command line, and not one with another', async () => {
    const kubelet = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', folder], { argv0: 'kubelet' })
    try {
      const isSeen = (where: string) => processesOf(where).some(({ pid }) => pid === kubelet.pid)
      await until('it is seen', () => isSeen(folder))
      expect(isSeen(join(tmpdir(), 'another'))).toBe(false)
    } finally {
      kubelet.kill('SIGKILL')
    }
  })
})
