/** `metav1.Time`: whole seconds. @param ms since 1970 */
export const timestamp = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')

/** `metav1.MicroTime`: always six digits after the point. @param ms since 1970 */
export const microTime = (ms: number): string => new Date(ms).toISOString().replace(/Z$/, '000Z')
