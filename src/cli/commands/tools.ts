import { conformanceConfig, parseConfig } from '../config.ts'
import type { CommandGroup } from './group.ts'

const CONFORMANCE_HELP = `
Drives the runtime as an operator would, over HTTP: wrong tokens, other fences and claims, items and bundles that come,
change, wait, are refused and go, pins, events. Each check prints "ok", or "FAIL" with what was expected. Everything that
it brings is called conformance… and goes again; the fence stays two higher. Nothing is run on a model.

Ends with 0 when every check passed, with 1 when one failed, with 2 when it was not understood.

Example:
  midflight conformance --url http://127.0.0.1:7778 --token-file token
  (a runtime to try it on: midflight runtime --management-token-file token)`

export const addTools: CommandGroup = (program, io, finish) => {
  program
    .command('validate')
    .argument('<path...>', 'files or directories with manifests, tools/ and prompts/')
    .description('Load manifests and files without serving them, and print every problem')
    .addHelpText('after', '\nExample:\n  midflight validate deploy/samples/quickstart')
    .action(async (paths: string[]) => {
      const { validate } = await import('../serve/validate.ts')
      finish(await validate(paths, io))
    })
  program
    .command('conformance')
    .description('Check that a runtime, in any language, speaks the management protocol')
    .option('--url <url>', 'where it serves the protocol (default http://127.0.0.1:7778)')
    .option('--token-file <file>', 'file with the token that the runtime asks for')
    .option('--ca-file <file>', 'certificate authorities in PEM, for https')
    .option('--server-name <name>', 'name in its certificate, where it is not the one in the URL')
    .option('--force', 'also on a runtime that is claimed or holds items; its settings, pins and claim are lost')
    .option('--json', 'print one JSON document instead of a line per check')
    .addHelpText('after', CONFORMANCE_HELP)
    .action(async (flags: object) => {
      const config = parseConfig(conformanceConfig, flags, io.environment)
      const { conformance } = await import('../conformance.ts')
      finish(await conformance(config, io))
    })
  program
    .command('crds')
    .description('Print the CustomResourceDefinitions as YAML')
    .addHelpText('after', '\nExample:\n  midflight crds | kubectl apply --server-side -f -')
    .action(async () => {
      const { crds } = await import('../crds.ts')
      finish(crds(io))
    })
}
