import { soakReloads } from './reloads.ts'

/** `node --max-old-space-size=48 test/soak/reloads.main.ts [reloads]` prints the figures as JSON. */
const figures = await soakReloads(Number(process.argv[2] ?? 20_000))
process.stdout.write(`${JSON.stringify(figures)}\n`)
