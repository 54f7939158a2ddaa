// Builds the image of Midflight.
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findEngine } from './engine.ts'
import { ImageError, ROOT, stageImage } from './stage.ts'

const HELP = `Builds the one image that runs the operator, the runtimes and the chart's hooks.

  npm run image -- --tag NAME [--base IMAGE]

  --tag NAME     of the image, with its registry where it is to be pushed to one
  --base IMAGE   an image with Node 24 or newer and glibc; it needs no shell and no npm (default node:26-slim)

Compiles the sources, installs the production dependencies beside the checkout's own, and copies both into the base
with docker, podman or buildah, whichever works.
`

function main(args: readonly string[]): void {
  const { values } = parseArgs({
    args: [...args],
    options: { help: { type: 'boolean', short: 'h' }, tag: { type: 'string' }, base: { type: 'string' } },
  })
  if (values.help) {
    console.log(HELP)
    return
  }
  const { tag, base } = values
  if (!tag) throw new ImageError('name the image: npm run image -- --tag NAME')
  const engine = findEngine()
  const started = performance.now()
  const context = mkdtempSync(join(tmpdir(), 'midflight-image-'))
  try {
    stageImage(context)
    cpSync(join(ROOT, 'Dockerfile'), join(context, 'Dockerfile'))
    engine.build({ context, tag, base })
  } finally {
    rmSync(context, { recursive: true, force: true })
  }
  console.log(`
${tag}: ${engine.size(tag)}, built by ${engine.name} in ${((performance.now() - started) / 1000).toFixed(1)} s

  ${engine.push(tag)}
  helm upgrade --install midflight charts/midflight --namespace midflight-system --create-namespace \\
    --set image.repository=${repositoryOf(tag)} --set image.tag=${tagOf(tag)}
`)
}

/** What follows the last colon is a tag unless it is a registry's port with a path. */
const tagOf = (name: string) => /:([^/:]+)$/.exec(name)?.[1] ?? 'latest'
const repositoryOf = (name: string) => name.replace(/:[^/:]+$/, '')

try {
  main(process.argv.slice(2))
} catch (error) {
  console.error(`image: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}
