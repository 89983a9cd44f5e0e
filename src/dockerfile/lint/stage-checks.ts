import { errorCode } from '../../base/errors.ts'
import { goQuote } from '../../base/go-quote.ts'
import { parsePlatform } from '../../base/platform.ts'
import type { FromInstruction, StagedDockerfile } from '../instruction.ts'
import type { Report } from './lint.ts'

const RESERVED = new Set(['context', 'scratch'])

/** Checks of FROM lines. */
export function checkStageNames({ stages }: StagedDockerfile, report: Report): void {
  const names = new Set<string>()
  for (const { from } of stages) {
    checkName(from, names, report)
    checkAs(from, report)
    checkPlatform(from, report)
  }
}

function checkName(from: FromInstruction, names: Set<string>, report: Report): void {
  const { alias, aliasWritten } = from
  if (alias === undefined) return
  if (aliasWritten !== alias) report('StageNameCasing', from, `Stage name '${aliasWritten}' should be lowercase`)
  if (RESERVED.has(alias)) {
    report('ReservedStageName', from, `Stage name should not use the same name as reserved stage ${goQuote(alias)}`)
  }
  if (names.has(alias)) report('DuplicateStageName', from, `Duplicate stage name ${goQuote(alias)}, stage names should be unique`)
  names.add(alias)
}

/** A FROM in mixed case is another rule's matter. */
function checkAs(from: FromInstruction, report: Report): void {
  const { keyword, asKeyword } = from
  if (asKeyword === undefined) return
  const lower = keyword === keyword.toLowerCase()
  if (!lower && keyword !== keyword.toUpperCase()) return
  if (asKeyword === (lower ? asKeyword.toLowerCase() : asKeyword.toUpperCase())) return
  report('FromAsCasing', from, `'${asKeyword}' and '${keyword}' keywords' casing do not match`)
}

function checkPlatform(from: FromInstruction, report: Report): void {
  const text = from.platform?.text
  if (text === undefined) return
  if (/^\$(TARGETPLATFORM|\{TARGETPLATFORM\})$/.test(text)) {
    const message = `Setting platform to predefined ${text} in FROM is redundant as this is the default behavior`
    report('RedundantTargetPlatform', from, message)
  } else if (!text.includes('$') && !isNamedAfter(from, text)) {
    report('FromPlatformFlagConstDisallowed', from, `FROM --platform flag should not use constant value ${goQuote(text)}`)
  }
}

/** A stage that says its platform in its name is meant for that platform. */
function isNamedAfter({ alias = '' }: FromInstruction, platform: string): boolean {
  try {
    const { os, architecture } = parsePlatform(platform)
    return alias.includes(os) || alias.includes(architecture)
  } catch (error) {
    if (errorCode(error) !== 'PLATFORM_INVALID') throw error
    return false
  }
}
