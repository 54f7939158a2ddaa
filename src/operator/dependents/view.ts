/** What is known of an object by name. */
export type ObjectView =
  /** Nothing yet, but it soon will be: nothing must be concluded. */
  | { readonly type: 'loading' }
  /** @param sinceMs when it went, in milliseconds since 1970; absent when it was not there before either */
  | { readonly type: 'missing'; readonly sinceMs?: number }
  | ({ readonly type: 'found' } & FoundObject)

export type FoundObject = {
  readonly uid: string
  readonly resourceVersion: string
  readonly creationTimestamp: string
  readonly labels: Readonly<Record<string, string>>
  /** By key, decoded. Must get into no log, error or status when it is a Secret's. */
  readonly data: ReadonlyMap<string, Buffer>
}

export type ConfigMapView = ObjectView
export type SecretView = ObjectView
