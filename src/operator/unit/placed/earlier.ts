import type { BundlePush } from '../../../api/index.ts'
import type { Desired } from '../../ports.ts'

/** Earlier versions that are held of each bundle. */
const HELD = 3

/** The last versions of each bundle that were good before the one that is, so that one can be gone back to. */
export class EarlierBundles {
  readonly #pushes = new Map<string, readonly BundlePush[]>()

  /** What is good is another now. */
  replaced(before: Desired | undefined, now: Desired): void {
    const isKept = (name: string) => now.kept === 'all' || now.kept.has(name) || now.bundles.has(name)
    for (const name of [...this.#pushes.keys()]) if (!isKept(name)) this.#pushes.delete(name)
    for (const [name, { hash }] of now.bundles) {
      const last = before?.bundles.get(name)
      if (last === undefined || last.hash === hash) continue
      const others = (this.#pushes.get(name) ?? []).filter((push) => push.hash !== last.hash && push.hash !== hash)
      this.#pushes.set(name, [last, ...others].slice(0, HELD))
    }
  }

  find(name: string, hash: string | undefined): BundlePush | undefined {
    return this.#pushes.get(name)?.find((push) => push.hash === hash)
  }
}
