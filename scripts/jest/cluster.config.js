import base from '../../jest.config.js'

/** The tests that need a real node, one after another: `npm run test:cluster`. */
export default {
  ...base,
  rootDir: '../..',
  roots: ['<rootDir>/test/cluster'],
  testPathIgnorePatterns: ['/node_modules/'],
  testEnvironment: '<rootDir>/scripts/jest/cluster-environment.js',
  maxWorkers: 1,
}
