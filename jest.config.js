export default {
  testEnvironment: 'node',
  // Suites wait for API servers and clocks most of the time.
  maxWorkers: 2,
  // A worker keeps the modules of every suite (nodejs/node#63186), and with 700 MB of them a busy machine takes longer to
  // end it than the half second after which jest calls it stuck. Past this it is replaced between suites.
  workerIdleMemoryLimit: '250MB',
  roots: ['<rootDir>/src', '<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  // They need a real node: npm run test:cluster.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/cluster/'],
  extensionsToTreatAsEsm: ['.ts'],
  setupFiles: ['<rootDir>/scripts/jest/realm.js'],
  transform: { '^.+\\.ts$': '<rootDir>/scripts/jest/strip-types.js' },
  transformIgnorePatterns: ['/node_modules/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  coverageProvider: 'v8',
  collectCoverageFrom: ['src/**/*.ts'],
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  reporters: ['default', '<rootDir>/scripts/jest/counts-reporter.js'],
}
