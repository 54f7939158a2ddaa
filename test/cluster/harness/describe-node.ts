import { afterAll, beforeAll, describe, jest, test } from '@jest/globals'
import { type ClusterNode, connectNode } from './node.ts'
import { unmetRequirement } from './requirements.ts'

/** Per test and per hook: a pod's start takes seconds, and what kubelet does by itself takes minutes. */
const TIMEOUT_MS = 180_000

/**
 * `describe` for what needs a real node, with 180 s for each test and hook of the file. Where none can be brought up the
 * suite is skipped, with one line on stderr; with CI=true it fails.
 */
export function describeNode(name: string, body: () => void): void {
  const reason = unmetRequirement()
  if (reason === undefined) {
    jest.setTimeout(TIMEOUT_MS)
    describe(name, body)
    return
  }
  if (process.env.CI === 'true') {
    describe(name, () => {
      test('has a node', () => {
        throw new Error(reason)
      })
    })
    return
  }
  process.stderr.write(`skipped: ${name}: ${reason}\n`)
  describe.skip(name, body)
}

/**
 * The node for all tests of the surrounding `describe`; what they made in its namespaces goes after them.
 * @returns what gives the node, from the tests and later hooks on
 */
export function useNode(): () => ClusterNode {
  let node: ClusterNode | undefined
  beforeAll(async () => {
    node = await connectNode()
  })
  afterAll(async () => {
    await node?.[Symbol.asyncDispose]()
  })
  return () => {
    if (node === undefined) throw new Error('the node is connected before the tests, not while they are described')
    return node
  }
}

/**
 * The node, and what all tests of the surrounding `describe` share on it: opened before them, and disposed of after them
 * while the node's namespaces are there.
 * @returns what gives the node and what was opened, from the tests and later hooks on
 */
export function useOnNode<T extends AsyncDisposable>(
  open: (node: ClusterNode) => Promise<T>,
): readonly [node: () => ClusterNode, opened: () => T] {
  let opened: T | undefined
  // Hooks run in the order in which they stand here: this one before the node's namespaces go.
  afterAll(async () => {
    await opened?.[Symbol.asyncDispose]()
  })
  const node = useNode()
  beforeAll(async () => {
    opened = await open(node())
  })
  return [
    node,
    () => {
      if (opened === undefined) throw new Error('it is opened before the tests, not while they are described')
      return opened
    },
  ]
}
