import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parse } from 'yaml'
import { KINDS, type Kind } from '../src/api/index.ts'
import { kstatus, type StatusObject } from './api/support/kstatus.ts'

/** Argo CD runs it in gopher-lua, which is Lua 5.1. */
const LUA = 'lua5.1'
const WHY = `Argo CD's health checks: need ${LUA}, of the Debian package of that name`

const file = readFileSync(join(import.meta.dirname, '../deploy/argocd/health.yaml'), 'utf8')
const { data: checks } = parse(file) as { data: Readonly<Record<string, string>> }
const checkOf = (kind: Kind): string => checks[`resource.customizations.health.midflight.dev_${kind}`] ?? ''

type Health = { readonly status: string; readonly message: string }

/** A value as Lua writes it; Argo CD gives an absent field and null alike as nil. */
function lua(value: unknown): string {
  if (value === undefined || value === null) return 'nil'
  if (Array.isArray(value)) return `{${value.map(lua).join(', ')}}`
  if (typeof value === 'object')
    return `{${Object.entries(value).map(([key, field]) => `[${JSON.stringify(key)}] = ${lua(field)}`)}}`
  return JSON.stringify(value)
}

/** What the check of a kind says of each object: one program, as starting one takes longer than running it. */
function healthOf(kind: Kind, objects: readonly object[]): Health[] {
  const program = `
    local function check(obj)
      ${checkOf(kind)}
    end
    for _, obj in ipairs({${objects.map(lua).join(',\n')}}) do
      local health = check(obj)
      print(health.status)
      print(health.message)
    end`
  const lines = execFileSync(LUA, ['-'], { input: program, encoding: 'utf8' }).split('\n')
  return objects.map((_, index) => ({ status: lines[2 * index] ?? '', message: lines[2 * index + 1] ?? '' }))
}

const is = (type: string, status: string, reason: string, message = '') => ({
  ...{ type, status, reason, message },
  observedGeneration: 2,
  lastTransitionTime: '2026-01-01T00:00:00Z',
})
const withStatus = (status?: object) => ({
  apiVersion: 'midflight.dev/v1alpha1',
  kind: 'Agent',
  metadata: { name: 'support', generation: 2 },
  spec: { runtime: 'default' },
  ...(status && { status }),
})
const told = (...conditions: object[]) => withStatus({ observedGeneration: 2, conditions, pods: { summary: '2/3' } })

const ACCEPTED = is('Accepted', 'True', 'Accepted', 'The spec is valid')
const AVAILABLE = is('Available', 'True', 'Served')
const waiting = is('Ready', 'False', 'ToolNotFound', 'spec.tools[1]: no bundle has a tool "clock"')
const refused = is('Ready', 'False', 'InvalidSyntax', 'weather.tool.ts:1:16: Unexpected token')
const impossible = is('Accepted', 'False', 'ReferenceCycle', 'agents a and b call each other')

/** Statuses as docs/resources.md tells them, by situation. */
const SITUATIONS: readonly (readonly [string, object, Health])[] = [
  ['nobody has seen', withStatus(), { status: 'Progressing', message: 'Waiting for the operator' }],
  [
    'has no condition yet',
    withStatus({ conditions: [] }),
    { status: 'Progressing', message: 'Waiting for the operator' },
  ],
  [
    'was edited after it was served',
    withStatus({ observedGeneration: 1, conditions: [ACCEPTED, is('Ready', 'True', 'Served')] }),
    { status: 'Progressing', message: 'The operator has not seen the last edit' },
  ],
  [
    'every pod serves',
    told(ACCEPTED, is('Ready', 'True', 'Served', 'Served by 3 pods'), AVAILABLE),
    { status: 'Healthy', message: 'Served: Served by 3 pods' },
  ],
  [
    'is scaled to zero',
    told(ACCEPTED, is('Ready', 'True', 'ScaledToZero'), is('Available', 'False', 'NotServed')),
    { status: 'Healthy', message: 'ScaledToZero: ' },
  ],
  [
    'waits for a tool',
    told(ACCEPTED, waiting, AVAILABLE, is('Reconciling', 'True', 'ToolNotFound')),
    { status: 'Progressing', message: 'ToolNotFound: spec.tools[1]: no bundle has a tool "clock"' },
  ],
  [
    'pods refused, while the last good version serves',
    told(ACCEPTED, refused, AVAILABLE, is('Stalled', 'True', 'InvalidSyntax')),
    { status: 'Degraded', message: 'InvalidSyntax: weather.tool.ts:1:16: Unexpected token' },
  ],
  [
    'is impossible as declared',
    told(impossible, is('Ready', 'False', 'ReferenceCycle'), AVAILABLE, is('Stalled', 'True', 'ReferenceCycle')),
    { status: 'Degraded', message: 'ReferenceCycle: agents a and b call each other' },
  ],
]

const AS_KSTATUS = { Failed: 'Degraded', InProgress: 'Progressing', Terminating: 'Progressing', Current: 'Healthy' }

const hasLua = ((): boolean => {
  try {
    execFileSync(LUA, ['-v'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()
const mustRun = process.env.CI === 'true'
if (!hasLua && !mustRun) process.stderr.write(`skipped: ${WHY}\n`)

;(hasLua || mustRun ? describe : describe.skip)("Argo CD's health check", () => {
  test('is there for each kind, and is the same', () => {
    if (!hasLua) throw new Error(WHY)
    const all = (Object.keys(KINDS) as Kind[]).map(checkOf)
    expect(new Set(all).size).toBe(1)
    expect(Object.keys(checks)).toHaveLength(all.length)
  })

  test.each(SITUATIONS)('of what %s', (_, object, health) => {
    expect(KINDS.Agent.status.safeParse((object as StatusObject).status ?? {}).error).toBeUndefined()
    expect(healthOf('Agent', [object])).toEqual([health])
  })

  test('agrees with kstatus on everything that an operator may say', () => {
    const status = fc.constantFrom('True', 'False', 'Unknown')
    const condition = (type: string) =>
      fc.option(status, { nil: undefined }).map((value) => value && is(type, value, 'Why'))
    const object = fc
      .tuple(fc.constantFrom(1, 2), status, condition('Reconciling'), condition('Stalled'))
      .filter(([, , reconciling, stalled]) => !(reconciling?.status === 'True' && stalled?.status === 'True'))
      .map(([observedGeneration, ready, ...abnormal]) =>
        withStatus({
          observedGeneration,
          conditions: [ACCEPTED, is('Ready', ready, 'Why'), ...abnormal.filter(Boolean)],
        }),
      )
    const check = (objects: ReturnType<typeof withStatus>[]) => {
      const expected = objects.map((each) => AS_KSTATUS[kstatus(each as StatusObject)])
      expect(healthOf('AgentRuntime', objects).map((health) => health.status)).toEqual(expected)
    }
    fc.assert(fc.property(fc.array(object, { minLength: 50, maxLength: 100 }), check), { numRuns: 10, seed: 1 })
  })
})
