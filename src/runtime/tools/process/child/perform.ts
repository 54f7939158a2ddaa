import type { JSONValue } from '@ai-sdk/provider'
import { ProblemError } from '../../../../api/reason.ts'
import type { Authored } from '../../author/authored.ts'
import { callTool, runExtension } from '../../in-thread/tool-set.ts'
import type { ToolCallContext } from '../../port.ts'
import type { Work } from '../channel/messages.ts'

/** Positions stay those of the evaluated code: the runtime has the maps. */
const untraced = () => undefined

/** @throws ProblemError, as `ToolSet.call` and `ToolSet.extend` */
export async function perform(
  authored: Authored | undefined,
  work: Work,
  context: ToolCallContext,
): Promise<JSONValue> {
  switch (work.type) {
    case 'tool': {
      const tool = authored?.tools.get(work.name)
      if (tool === undefined) throw new ProblemError({ reason: 'ToolNotFound', message: `no tool "${work.name}"` })
      return callTool(tool, work.args, context, untraced)
    }
    case 'extension': {
      const { file, event } = work
      const extension = authored?.extensions.get(file)
      if (extension === undefined)
        throw new ProblemError({ reason: 'ExtensionFailed', message: `no extension ${file}`, file })
      return runExtension(extension, event, context, untraced)
    }
  }
}
