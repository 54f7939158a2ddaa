import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

// Preloaded into the process that is measured: SIGUSR2 collects its garbage, so that a heap size is of what is held.

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

process.on('SIGUSR2', () => {
  if (typeof collect === 'function') for (let pass = 0; pass < 3; pass++) collect()
})
