// Counts tests for .ci/run: writes `{ passed, failed, slowest }` to the file of TBUILD_COUNTS. jest's own --json fails on errors that hold themselves.
import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'

export default class CountReporter {
  onRunComplete(_contexts, results) {
    const slowest = results.testResults
      .map(({ testFilePath, perfStats: { start, end } }) => ({
        file: relative(process.cwd(), testFilePath),
        seconds: Math.round((end - start) / 1000),
      }))
      .sort((a, b) => b.seconds - a.seconds)
      .slice(0, 6)
    const { numPassedTests: passed, numFailedTests, numRuntimeErrorTestSuites } = results
    writeFileSync(process.env.TBUILD_COUNTS, JSON.stringify({ passed, failed: numFailedTests + numRuntimeErrorTestSuites, slowest }))
  }
}
