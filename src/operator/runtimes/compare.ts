// Whether an object in the API server is what it should be, though the server fills in defaults and writes amounts anew.

/**
 * Whether everything that is wanted is there; what there is besides is not looked at. A field that is absent is the same
 * as an empty one. Entries of lists are found by what Kubernetes merges them by: the path of a mount, a uid, a name;
 * other lists have to be of equal length.
 * @param field the name of the field that the values are of
 */
export function covers(live: unknown, wanted: unknown, field = ''): boolean {
  if (live === undefined || live === null) return isEmpty(wanted) && !UNSET_IS_NOT_FALSE.has(field)
  if (Array.isArray(wanted)) return Array.isArray(live) && coversList(live, wanted, field)
  if (isRecord(wanted)) {
    return (
      isRecord(live) &&
      Object.entries(wanted).every(([key, value]) => covers(live[key], value, isAmounts(field) ? AMOUNT : key))
    )
  }
  return live === wanted || (AMOUNTS.has(field) && isSameAmount(live, wanted))
}

const MERGE_KEYS = ['mountPath', 'uid', 'name'] as const

function coversList(live: readonly unknown[], wanted: readonly unknown[], field: string): boolean {
  const key = MERGE_KEYS.find((each) => wanted.length > 0 && wanted.every((entry) => isRecord(entry) && each in entry))
  if (key === undefined)
    return live.length === wanted.length && wanted.every((entry, index) => covers(live[index], entry, field))
  return wanted.every((entry) => {
    const { [key]: name } = entry as Record<string, unknown>
    return covers(
      live.find((each) => isRecord(each) && each[key] === name),
      entry,
      field,
    )
  })
}

/** What Kubernetes takes for true, or leaves to somebody else, unless it is said. */
const UNSET_IS_NOT_FALSE: ReadonlySet<string> = new Set([
  'allowPrivilegeEscalation',
  'automountServiceAccountToken',
  'enableServiceLinks',
])

/** Go leaves such fields out. */
function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0
  if (isRecord(value)) return Object.values(value).every(isEmpty)
  return value === undefined || value === null || value === false || value === 0 || value === ''
}

const AMOUNT = 'amount'
/** Fields that hold an amount, or a map of amounts. */
const AMOUNTS: ReadonlySet<string> = new Set([AMOUNT, 'sizeLimit', 'divisor'])
const isAmounts = (field: string): boolean => field === 'requests' || field === 'limits'

const UNITS: Readonly<Record<string, number>> = {
  ...{ n: 1e-9, u: 1e-6, m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 },
}

/** `1000m` and 1, `1024Mi` and `1Gi`, `1e3` and `1k`. */
function isSameAmount(a: unknown, b: unknown): boolean {
  const [one, other] = [amountOf(a), amountOf(b)]
  if (one === undefined || other === undefined) return false
  return Math.abs(one - other) <= Math.abs(one) * 1e-12
}

function amountOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  const match = typeof value === 'string' ? /^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)$/.exec(value) : null
  const unit = UNITS[match?.[2] ?? 'none']
  const amount = Number(match?.[1])
  return unit === undefined || Number.isNaN(amount) ? undefined : amount * unit
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
