import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ROOT } from './bench.ts'

const DOCUMENT = join(ROOT, 'docs/benchmarks.md')

/** Writes what was measured into the document of all figures, between the markers of that name. */
export async function writeSection(name: string, section: string): Promise<void> {
  await writeFile(DOCUMENT, withSection(await readFile(DOCUMENT, 'utf8'), name, section))
}

/** `text` with what stands between the markers of a name replaced; unchanged when it has no such markers. */
function withSection(text: string, name: string, section: string): string {
  const [open, close] = [`<!-- begin ${name}: measured, not written by hand -->`, `<!-- end ${name} -->`]
  const [from, to] = [text.indexOf(open), text.indexOf(close)]
  if (from < 0 || to < from) return text
  return `${text.slice(0, from + open.length)}\n\n${section}\n\n${text.slice(to)}`
}
