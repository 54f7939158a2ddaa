import { execFile, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import { directoryWith } from './bundle.fixture.ts'
import { mountedBySubPath, parseMounts, subPathWarnings } from './sub-path.ts'

const PODS = '/var/lib/kubelet/pods/5f0c3c1e-1111-4222-8333-444455556666/volumes'
const VERSION = '..2026_01_02_03_04_05.1234567890'
const BASE = [
  '620 500 0:53 / / rw,relatime master:200 - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c',
  '621 620 0:56 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw',
  '622 620 0:57 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755',
]
const onDisk = (root: string, path: string) => `640 620 259:1 ${root} ${path} ro,relatime - ext4 /dev/root rw,discard`
const inMemory = (root: string, path: string) => `641 620 0:48 ${root} ${path} ro,relatime - tmpfs tmpfs rw,size=8k`
const found = (lines: readonly string[], directory = '/bundles/support', files = ['a.tool.ts', 'b.prompt.md']) =>
  mountedBySubPath(parseMounts([...BASE, ...lines, ''].join('\n')), directory, files)

describe('what is mounted by a subPath', () => {
  test.each<[string, 'whole' | string[], string[]]>([
    ['is nothing without mounts', [], []],
    ['is nothing of a whole ConfigMap', [], [onDisk(`${PODS}/kubernetes.io~configmap/support`, '/bundles/support')]],
    ['is nothing of a whole Secret', [], [inMemory('/', '/bundles/support')]],
    [
      'is nothing of an emptyDir, whose files are live',
      [],
      [onDisk(`${PODS}/kubernetes.io~empty-dir/work/sub`, '/bundles/support')],
    ],
    [
      'is a file of a ConfigMap',
      ['a.tool.ts'],
      [onDisk(`${PODS}/kubernetes.io~configmap/support/${VERSION}/a.tool.ts`, '/bundles/support/a.tool.ts')],
    ],
    ['is a file of a Secret', ['b.prompt.md'], [inMemory(`/${VERSION}/b`, '/bundles/support/b.prompt.md')]],
    [
      'is a folder of a ConfigMap',
      'whole',
      [onDisk(`${PODS}/kubernetes.io~configmap/support/${VERSION}/tools`, '/bundles/support')],
    ],
    [
      'is a directory in such a folder',
      'whole',
      [onDisk(`${PODS}/kubernetes.io~projected/all/${VERSION}/bundles`, '/bundles')],
    ],
    [
      'is what the kubelet has deleted since',
      'whole',
      [onDisk(`${PODS}/kubernetes.io~configmap/support/${VERSION}/tools//deleted`, '/bundles/support')],
    ],
    [
      'is nothing where a whole volume was mounted over it',
      [],
      [
        onDisk(`${PODS}/kubernetes.io~configmap/old/${VERSION}/tools`, '/bundles/support'),
        onDisk(`${PODS}/kubernetes.io~configmap/support`, '/bundles/support'),
      ],
    ],
    [
      'is nothing of what is mounted elsewhere',
      [],
      [onDisk(`${PODS}/kubernetes.io~configmap/other/${VERSION}/x`, '/bundles/support-2/x')],
    ],
  ])('%s', (_sentence, expected, lines) => {
    expect(found(lines)).toEqual(expected)
  })
  test('is found at a path with a space in it', () => {
    const line = onDisk(`${PODS}/kubernetes.io~configmap/s/${VERSION}/a`, '/my\\040bundles/support')
    expect(found([line], '/my bundles/support')).toBe('whole')
  })
  test('is warned of with what to do', () => {
    const mounts = parseMounts(onDisk(`/pods/x/volumes/kubernetes.io~configmap/s/${VERSION}/a`, '/b/a.tool.ts'))
    const fix = 'which the kubelet never updates: mount the ConfigMap as a directory, without subPath'
    expect(subPathWarnings(mounts, '/b', ['a.tool.ts'])).toEqual([`"a.tool.ts" mounted by subPath, ${fix}`])
    expect(subPathWarnings(mounts, '/b/a.tool.ts/x', [])).toEqual([`mounted by subPath, ${fix}`])
  })
})

const inNamespace = (script: string) => ['--user', '--map-root-user', '--mount', 'sh', '-c', script]
const canMount = spawnSync('unshare', inNamespace('mount -t tmpfs tmpfs /tmp')).status === 0

;(canMount ? test : test.skip)('a file that the kernel shows from one version of a volume is warned of', async () => {
  const { path, remove } = await directoryWith({ [`volume/${VERSION}/a.md`]: 'mounted', 'support/b.md': 'own' })
  await writeFile(join(path, 'support/a.md'), '')
  const program = `
    const { watchDirectory } = await import(${JSON.stringify(join(import.meta.dirname, 'directory-source.ts'))})
    for await (const { bundle } of watchDirectory(process.argv[1], new AbortController().signal)) {
      console.log(JSON.stringify([Buffer.from(bundle.files.get('a.md')).toString(), ...bundle.warnings]))
      process.exit()
    }`
  const script = 'mount --bind "$1" "$2" && exec "$0" --input-type=module -e "$3" "$4"'
  const paths = [join(path, `volume/${VERSION}/a.md`), join(path, 'support/a.md'), program, join(path, 'support')]
  const { stdout } = await promisify(execFile)('unshare', [...inNamespace(script), process.execPath, ...paths])
  await remove()
  expect(JSON.parse(stdout)).toEqual([
    'mounted',
    '"a.md" mounted by subPath, which the kubelet never updates: mount the ConfigMap as a directory, without subPath',
  ])
})
