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
  projects: ['unit', 'suites', 'corpus', 'hostile', 'e2e'].map((name) => project(name)),
}
