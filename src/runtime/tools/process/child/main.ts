import { importPackage } from '../../modules/packages.ts'
import { exit, listen, send } from './channel.ts'
import { createCode } from './code.ts'
import { restrictProcess } from './restrict.ts'
import { failureOf } from './thrown.ts'

// The entry of a host: a process that evaluates and runs the tools and extensions of one bundle, and nothing else.

/** What nobody caught is the end of this process. Not a listener: those can be taken off. */
process.setUncaughtExceptionCaptureCallback((error) => {
  const { problem, stack } = failureOf(error, 'ToolFailed', 'threw what nobody caught')
  send({ type: 'fatal', message: problem.message, stack })
  exit(1)
})
restrictProcess()

// What cannot be loaded is told of when something imports it.
const packages: string[] = JSON.parse(process.argv[2] ?? '[]')
for (const name of packages) await importPackage('', name).catch(() => undefined)

const code = createCode()
listen((message) => {
  switch (message.type) {
    case 'warm':
      return void code.warm(message)
    case 'load':
      return void code.load(message)
    case 'call':
      return void code.call(message)
    case 'abort':
      return code.abort(message.id, message.reason)
    case 'linked':
    case 'notLinked':
      return code.linked(message)
    case 'end':
      return code.end()
  }
})
