import { createParameterReader } from '../../author/parameters.ts'
import { importPackage } from '../../modules/packages.ts'
import { exit, listen, send } from './channel.ts'
import { type Code, createCode } from './code.ts'
import { restrictProcess } from './restrict.ts'
import { failureOf } from './thrown.ts'

// The entry of a host: a process that evaluates and runs the tools and extensions of one bundle, and nothing else.

const packages: string[] = JSON.parse(process.argv[2] ?? '[]')
let code: Code | undefined

/** What nobody caught is the end of this process. Not a listener: those can be taken off. */
process.setUncaughtExceptionCaptureCallback((error) => {
  const { problem, stack } = failureOf(error, 'ToolFailed', 'threw what nobody caught')
  code?.flush()
  send({ type: 'fatal', message: problem.message, stack })
  exit(1)
})
restrictProcess()

// What cannot be loaded is told of when something imports it.
for (const name of packages) await importPackage('', name).catch(() => undefined)

// Whose tools may import zod has it loaded: a second copy would cost the first of them time.
const zod = packages.includes('zod') ? await import('zod/v4/core') : undefined
const serving = createCode(createParameterReader(zod && (() => zod)))
code = serving
listen((message) => {
  switch (message.type) {
    case 'warm':
      return void serving.warm(message)
    case 'load':
      return void serving.load(message)
    case 'call':
      return void serving.call(message)
    case 'abort':
      return serving.abort(message.id, message.reason)
    case 'linked':
    case 'notLinked':
      return serving.linked(message)
    case 'state':
      return serving.stateSet(message)
    case 'ping':
      return send({ type: 'pong' })
    case 'end':
      return serving.end()
  }
})
