type Decorator = (target: unknown, key?: unknown, descriptor?: unknown) => unknown

/**
 * Applies the decorators of a class (no key) or of a member of it, the last one first, as TypeScript's experimentalDecorators
 * do. The descriptor is null for a method or accessor, which has one, and undefined for a field, which has none.
 */
export function decorate(
  decorators: readonly Decorator[],
  target: object,
  ...member: readonly [key?: PropertyKey, descriptor?: PropertyDescriptor | null]
): unknown {
  const [key, given] = member
  if (key === undefined) return decorators.reduceRight<unknown>((known, apply) => apply(known) || known, target)
  const own = given === null ? Object.getOwnPropertyDescriptor(target, key) : given
  const made = decorators.reduceRight<unknown>((known, apply) => apply(target, key, known) || known, own)
  if (made) Object.defineProperty(target, key, made)
  return made
}

/** A decorator of a parameter as one of its method, or of its class. */
export const decorateParam =
  (index: number, decorator: (target: unknown, key: unknown, index: number) => void): Decorator =>
  (target, key) =>
    decorator(target, key, index)
