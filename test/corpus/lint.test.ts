import { join } from 'node:path'
import { sha256 } from '../../src/base/digest.ts'
import { isTbuildError } from '../../src/base/errors.ts'
import { parsePlatform } from '../../src/values/platform.ts'
import { IgnoreMatcher } from '../../src/dockerfile/dockerignore.ts'
import { type Finding, type Linter, linesOf } from '../../src/dockerfile/lint/linter.ts'
import { parseStages } from '../../src/dockerfile/stages.ts'
import { checkStages } from '../../src/graph/lower.ts'
import type { BaseImage, LowerOptions } from '../../src/graph/lower-types.ts'
import { diagnosticsOf, linterFor } from '../../src/solve/lowering.ts'
import { buildArgsOf, type LintCase, loadLintFiles, optionValue } from '../support/lint-cases.ts'
import { lowerOptions } from '../support/lower-options.ts'

const AMD64 = parsePlatform('linux/amd64')

/** The image `busybox` of the corpus exists for linux/amd64 alone, as the recorder's does. */
function busybox(onBuild: readonly string[] = []): BaseImage {
  const config = { Env: ['PATH=/bin'], ...(onBuild.length === 0 ? {} : { OnBuild: [...onBuild] }) }
  const digest = sha256('busybox')
  return {
    name: 'docker.io/library/busybox',
    digest,
    platform: AMD64,
    configFile: { os: 'linux', architecture: 'amd64', config, rootfs: { type: 'layers', diff_ids: [digest] } },
  }
}

function optionsOf(one: LintCase, linter: Linter): LowerOptions {
  const ignored = one.ignore === undefined ? undefined : IgnoreMatcher.parse('.dockerignore', one.ignore)
  // --platform does not reach BuildKit's checks.
  return lowerOptions({
    target: optionValue(one, '--target'),
    buildArgs: buildArgsOf(one),
    from: { resolveImage: async () => busybox() },
    checks: { linter, ignored },
  })
}

async function check(one: LintCase): Promise<string[]> {
  const source = { name: 'Dockerfile', text: one.dockerfile }
  const options = { buildArgs: Object.fromEntries(buildArgsOf(one)) }
  let linter: Linter | undefined
  let found: readonly Finding[] = []
  const errors: string[] = []
  try {
    const file = parseStages(source)
    linter = linterFor(file, options)
    await checkStages(file, optionsOf(one, linter))
    if (linter.violation) errors.push(`error: ${linter.violation.message}`)
  } catch (error) {
    if (!isTbuildError(error)) throw error
    const told = linter === undefined ? diagnosticsOf(source, options, error) : { findings: [], error }
    found = told.findings
    errors.push(`error: ${told.error.message}`)
  }
  const findings = (linter?.findings() ?? found).map(({ rule, message, span }) => {
    const { first, last } = linesOf(span)
    return `${first === last ? first : `${first}-${last}`} ${rule}: ${message}`
  })
  return [...findings, ...errors]
}

describe.each(loadLintFiles(join(import.meta.dirname, 'lint')))('$path', ({ cases }) => {
  test.each(cases)('$name', async (one) => {
    expect(await check(one)).toEqual(one.expected)
  })
})
