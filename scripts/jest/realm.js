// Jest runs tests in a realm of its own, where `instanceof Error` is false for errors of Node's core and of
// structuredClone. These definitions make `instanceof` true for the same class of another realm.
const prototypesOf = function* (value) {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return
  for (let p = Object.getPrototypeOf(value); p; p = Object.getPrototypeOf(p)) yield p
}
const isNativeNamesake = (prototype, Class) =>
  Object.hasOwn(prototype, 'constructor') &&
  typeof prototype.constructor === 'function' &&
  prototype.constructor.name === Class.name &&
  /\[native code\]/.test(Function.prototype.toString.call(prototype.constructor))
const byChain = (Class) => (value) => {
  for (const prototype of prototypesOf(value)) {
    if (prototype === Class.prototype || isNativeNamesake(prototype, Class)) return true
  }
  return false
}
const define = (Class, test) =>
  Object.defineProperty(Class, Symbol.hasInstance, {
    configurable: true,
    value(instance) {
      return this === Class ? test(instance) : Function.prototype[Symbol.hasInstance].call(this, instance)
    },
  })

define(Error, (value) => Error.isError(value) || Function.prototype[Symbol.hasInstance].call(Error, value))
define(Array, Array.isArray)
for (const Class of [
  TypeError,
  RangeError,
  SyntaxError,
  Map,
  Set,
  Date,
  RegExp,
  Promise,
  ArrayBuffer,
  Uint8Array,
  Object,
]) {
  define(Class, byChain(Class))
}
