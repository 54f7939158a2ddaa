import type { ModuleCode } from '../program.ts'

/** What an import gives: a module of the bundle, or the namespace of a package. */
export type Imported =
  | { readonly type: 'file'; readonly module: Module }
  | { readonly type: 'package'; readonly exports: object }

/**
 * By name, what exports a name itself that a module has by `export *`, not through an `export *` of its own: a module or
 * package, or several.
 */
export type StarredNames = ReadonlyMap<string, Imported | 'several'>

/** Why a module cannot be used, and the module that threw: this one, or one that it imports. */
export type Failure = { readonly error: unknown; readonly path: string }

/** The author's part of a linked module. */
export type ModuleBody = {
  /** Resolves when a call of `run` begins at once. */
  readonly ready: Promise<unknown> | undefined
  /** Runs the part. One that awaits outside of functions tells its end by one of the calls. @throws what it throws */
  run(ended: () => void, failed: (error: unknown) => void): void
}

/** What a module's code is called with in place of its import and export statements. */
type Scope = readonly [
  exports: object,
  importStatic: (specifier: string, metadata?: { readonly importedNames?: readonly string[] }) => object,
  importDynamic: (specifier: unknown) => Promise<object>,
  importMeta: object,
  exportAll: () => void,
  end: () => void,
]
export type ModuleFunction = (this: undefined, ...scope: Scope) => Generator<undefined> | AsyncGenerator<undefined>

/** The function of a module, and how it imports while it runs. */
export type Prepared = {
  readonly run: ModuleFunction
  readonly bundle: string
  readonly importDynamic: (specifier: string) => Promise<object>
}

/** An evaluation under way: the fields of a Cyclic Module Record of ECMA-262. */
export type Evaluation = {
  readonly index: number
  /** Lowest index of a module that is under way and reached from here. */
  low: number
  /** How many of its imports are not evaluated. */
  pending: number
  /** Modules that wait for this one. */
  readonly parents: Module[]
  /** The how manieth it is that waits; undefined when it does not. */
  order: number | undefined
  /** Of the module that was asked for. */
  ended: PromiseWithResolvers<void> | undefined
}

/**
 * A module of a bundle, evaluated at most once, by whichever version needs it first. It knows the modules that it imports
 * and nothing of the versions that hold it, so that a version that goes is garbage although a later one keeps the module.
 */
export class Module {
  /** What it is evaluated from; a version that keeps the module may have another text of the same meaning. */
  readonly code: ModuleCode
  /** Files that it may import, by path. */
  readonly targets = new Map<string, Module>()
  /** Packages that it imports before it runs, by specifier as in `Target`. */
  readonly packages = new Map<string, object>()
  prepared: Prepared | undefined
  status: 'new' | 'linked' | 'evaluating' | 'waiting' | 'evaluated' = 'new'
  /** What importers see. Filled by linking. */
  exports: object = namespace()
  /** What it exports by name, other than by `export *`. */
  own: object = Object.create(null)
  /** What its imports give, in the order of the code. */
  imported: Imported[] = []
  /** What it exports by `export *`. */
  stars: Imported[] = []
  /** What it has by them. Filled by linking. */
  starred: StarredNames = new Map()
  body: ModuleBody | undefined
  evaluation: Evaluation | undefined
  /** Of the modules that import each other, the one that was reached first: its end is the end of all. */
  root: Module = this
  failure: Failure | undefined

  constructor(code: ModuleCode) {
    this.code = code
  }

  get path(): string {
    return this.code.path
  }

  /** Whether a later version may go on with it: it was never asked for, or is evaluated. */
  get isWhole(): boolean {
    return this.status === 'new' || this.status === 'linked' || (isDone(this) && isDone(this.root))
  }

  /** Forgets what linking and evaluation left. */
  renew(): void {
    this.status = 'new'
    this.exports = namespace()
    this.own = Object.create(null)
    this.imported = []
    this.stars = []
    this.starred = new Map()
    this.body = undefined
    this.evaluation = undefined
    this.root = this
    this.failure = undefined
  }
}

const isDone = ({ status, failure }: Module): boolean => status === 'evaluated' && failure === undefined

const namespace = (): object => Object.create(null, { [Symbol.toStringTag]: { value: 'Module' } })

/** The modules that are evaluated with a module, itself the first. */
export function staticClosureOf(module: Module): Set<Module> {
  const closure = new Set([module])
  // A set may grow while it is walked.
  for (const { code, targets } of closure)
    for (const specifier of code.staticImports) {
      const target = code.imports[specifier]
      const imported = target?.type === 'file' ? targets.get(target.path) : undefined
      if (imported !== undefined) closure.add(imported)
    }
  return closure
}
