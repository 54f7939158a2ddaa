import { posix } from 'node:path'
import { type BundleFiles, ProblemError, roleOf } from '../../api/index.ts'
import type { LoadedPrompt } from './loaded.ts'
import { type Position, positionAt, textOf } from './text.ts'

/** Longest prompt with its includes filled in, in characters. */
export const MAX_PROMPT = 262_144

/** Most text of all prompts and included files of a bundle, each with its includes filled in, in characters. */
export const MAX_PROMPTS = 16 * 1024 * 1024

/** A backslash before it keeps it as text; a run takes the backslash away when it fills in variables. */
const INCLUDE = /(?<!\\)\{\{\s*include\s+"([^"\n]*)"\s*\}\}/g

/** Where a file asks for an include; the position is worked out only when it is to be told. */
type Asked = { readonly file: string; readonly position: () => Position }

/**
 * The prompts of a bundle, by name, with every `{{include "x.md"}}` filled in. The quoted name is a path from the
 * including file's folder, else the name of a prompt. No more text than the bounds is ever built.
 * @throws ProblemError FileNotText, IncludeNotFound, IncludeCycle, PromptTooLarge, and InvalidFileName when two files
 *   give one prompt name
 */
export function loadPrompts(bundle: BundleFiles): ReadonlyMap<string, LoadedPrompt> {
  const files = promptFiles(bundle.files)
  const expanded = new Map<string, string>()
  let total = 0
  const expand = (file: string, chain: readonly string[]): string => {
    const known = expanded.get(file)
    if (known !== undefined) return known
    const text = fill(file, readText(bundle.files, file), (target, asked) => {
      const found = resolveInclude(target, asked, bundle.files, files)
      checkCycle(found, [...chain, file], asked)
      return expand(found, [...chain, file])
    })
    total += text.length
    if (total > MAX_PROMPTS)
      throw new ProblemError({
        reason: 'PromptTooLarge',
        message: `the prompts of the bundle have more than ${MAX_PROMPTS} characters together, each with its includes: include less in ${file} and the others, or divide the bundle`,
        file,
      })
    expanded.set(file, text)
    return text
  }
  return new Map([...files].map(([name, file]) => [name, { name, file, text: expand(file, []) }]))
}

/** The files that each prompt, and each file that is included, includes itself; of a bundle whose prompts load. */
export function includesOf(bundle: BundleFiles): ReadonlyMap<string, readonly string[]> {
  const files = promptFiles(bundle.files)
  const includes = new Map<string, readonly string[]>()
  const waiting = [...files.values()]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (includes.has(file)) continue
    const asked = { file, position: () => ({ line: 1, column: 1 }) }
    const targets = [...readText(bundle.files, file).matchAll(INCLUDE)].map(([, target = '']) => target)
    const found = targets.map((target) => resolveInclude(target, asked, bundle.files, files))
    includes.set(file, [...new Set(found)])
    waiting.push(...found)
  }
  return includes
}

function promptFiles(files: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, string> {
  const byName = new Map<string, string>()
  for (const file of [...files.keys()].sort()) {
    const { role, name } = roleOf(file)
    if (role !== 'prompt') continue
    const other = byName.get(name)
    if (other !== undefined)
      throw new ProblemError({
        reason: 'InvalidFileName',
        message: `${other} and ${file} both give the prompt ${name}: rename one of them`,
        file,
      })
    byName.set(name, file)
  }
  return byName
}

function readText(files: ReadonlyMap<string, Uint8Array>, file: string): string {
  return textOf(file, files.get(file) ?? new Uint8Array())
}

function resolveInclude(
  target: string,
  asked: Asked,
  files: ReadonlyMap<string, Uint8Array>,
  prompts: ReadonlyMap<string, string>,
): string {
  const path = posix.join(posix.dirname(asked.file), target)
  const found = files.has(path) ? path : prompts.get(target)
  if (found !== undefined) return found
  throw new ProblemError({
    reason: 'IncludeNotFound',
    message: `include "${target}" names neither a file from the folder of ${asked.file} nor a prompt of the bundle`,
    file: asked.file,
    ...asked.position(),
  })
}

function checkCycle(found: string, chain: readonly string[], asked: Asked): void {
  const start = chain.indexOf(found)
  if (start === -1) return
  const cycle = [...chain.slice(start), found].join(' → ')
  throw new ProblemError({
    reason: 'IncludeCycle',
    message: `prompts include each other in a cycle: ${cycle}`,
    file: asked.file,
    ...asked.position(),
  })
}

function fill(file: string, text: string, include: (target: string, asked: Asked) => string): string {
  const parts: string[] = []
  let length = 0
  let end = 0
  const add = (part: string) => {
    length += part.length
    if (length > MAX_PROMPT)
      throw new ProblemError({
        reason: 'PromptTooLarge',
        message: `${file} has more than ${MAX_PROMPT} characters with its includes`,
        file,
      })
    parts.push(part)
  }
  for (const match of text.matchAll(INCLUDE)) {
    add(text.slice(end, match.index))
    add(include(match[1] ?? '', { file, position: () => positionAt(text, match.index) }))
    end = match.index + match[0].length
  }
  add(text.slice(end))
  return parts.join('')
}
