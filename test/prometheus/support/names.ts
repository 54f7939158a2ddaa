/** A metric that an expression reads, with the labels that it asks of it. */
export type Selector = {
  readonly metric: string
  /** Labels that are matched, with the value where it is matched as it stands. */
  readonly labels: readonly { readonly name: string; readonly value?: string }[]
}

const METRIC = /\b((?:midflight|leader_election|nodejs|rest_client|workqueue|controller_runtime)_\w+|up)\b(\{[^}]*\})?/g
const MATCHER = /(\w+)(=~|!=|!~|=)"([^"]*)"/g

/** The metrics of an expression of PromQL, as far as the charts' own expressions go. */
export const selectorsOf = (expression: string): Selector[] =>
  [...expression.matchAll(METRIC)].map(([, metric = '', matchers = '']) => ({
    metric,
    labels: [...matchers.matchAll(MATCHER)].map(([, name = '', operator, value = '']) =>
      operator === '=' ? { name, value } : { name },
    ),
  }))

/** Labels that an expression groups by. */
export const groupingsOf = (expression: string): string[] =>
  [...expression.matchAll(/\b(?:by|on) \(([\w, ]+)\)/g)].flatMap(([, names = '']) => names.split(/, */))
