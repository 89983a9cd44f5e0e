/** One project a folder of test/: `npm test -- --selectProjects unit`. */
const project = (displayName, extra = {}) => ({
  displayName,
  rootDir: import.meta.dirname,
  roots: [`<rootDir>/test/${displayName}`],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/transform.mjs' },
  testEnvironment: 'node',
  ...extra,
})

export default {
  // Machines that test are busy: a test fails by what it finds, not by the clock.
  testTimeout: 60_000,
  maxWorkers: '100%',
  // A worker has nothing left to wait for when it is told to end, but to free what hundreds of files loaded takes longer than jest's half second where others are at work.
  workerGracefulExitTimeout: 30_000,
  projects: ['unit', 'suites', 'corpus', 'hostile', 'e2e'].map((name) => project(name)),
}
