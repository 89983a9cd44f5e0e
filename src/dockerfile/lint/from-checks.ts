import { errorCode } from '../../base/errors.ts'
import { suggestion } from '../../base/suggest.ts'
import { goQuote } from '../../go/quote.ts'
import { readImageReference } from '../../values/image-reference.ts'
import { parsePlatform } from '../../values/platform.ts'
import type { Directives, FromInstruction, Stage } from '../instruction.ts'
import { type Environment, type ExpandedWord, expandWord, unmatchedBefore } from '../word.ts'
import { inFile, type Report } from './linter.ts'

/** Whether each base has a name when no build argument is given: `defaults` are the global ARGs then. A name that was never one is found too. */
export function checkDefaultBases(stages: readonly Stage[], defaults: Environment, directives: Directives, report: Report): void {
  for (const { from } of stages) {
    const name = expand(from.image.text, defaults, directives)
    // As BuildKit, which gives up here; building will say why.
    if (name === undefined) return
    if (isImageName(name.result)) continue
    const message = `Default value for ARG ${from.image.text} results in empty or invalid base image name`
    report('InvalidDefaultArgInFrom', inFile(from), message)
  }
}

/** What a FROM's variables may be. */
export interface FromScope {
  readonly globals: Environment
  /** Names that are declared, with a value or without. */
  readonly declared: readonly string[]
  readonly directives: Directives
}

/** The variables and the platform of one FROM. */
export function checkFrom(from: FromInstruction, scope: FromScope, report: Report): void {
  const image = expandAndCheck(from, from.image.text, scope, report)
  // A name that is nothing is refused before the platform is looked at.
  if (image === undefined || image.result === '' || from.platform === undefined) return
  const platform = expandAndCheck(from, from.platform.text, scope, report)
  if (platform !== undefined) checkPlatform(from, from.platform.text, platform, scope, report)
}

/** Undefined when it cannot be expanded: building will say why. */
function expandAndCheck(from: FromInstruction, text: string, scope: FromScope, report: Report): ExpandedWord | undefined {
  try {
    const word = expandWord(text, scope.globals, scope.directives)
    checkVariables(from, word.unmatched, scope, report)
    return word
  } catch (failure) {
    if (errorCode(failure) !== 'EXPANSION_FAILED') throw failure
    checkVariables(from, unmatchedBefore(failure), scope, report)
    return undefined
  }
}

function checkVariables(from: FromInstruction, unmatched: ReadonlySet<string>, { declared }: FromScope, report: Report): void {
  for (const name of unmatched) {
    if (declared.includes(name)) continue
    const near = suggestion(name, declared, { caseSensitive: true })
    report('UndefinedArgInFrom', from, `FROM argument '${name}' is not declared${near === undefined ? '' : ` (did you mean ${near}?)`}`)
  }
}

function checkPlatform(from: FromInstruction, text: string, word: ExpandedWord, { globals }: FromScope, report: Report): void {
  const { matched, unmatched, result } = word
  if (matched.size === 1 && unmatched.size === 0 && matched.has('TARGETPLATFORM') && result === globals.get('TARGETPLATFORM')) {
    const message = `Setting platform to predefined ${text} in FROM is redundant as this is the default behavior`
    report('RedundantTargetPlatform', from, message)
  } else if (matched.size === 0 && unmatched.size === 0 && !isNamedAfter(from, result)) {
    report('FromPlatformFlagConstDisallowed', from, `FROM --platform flag should not use constant value ${goQuote(result)}`)
  }
}

/** A stage that says its platform in its name is meant for that platform; one that is malformed fails later. */
function isNamedAfter({ alias = '' }: FromInstruction, platform: string): boolean {
  try {
    const { os, architecture } = parsePlatform(platform)
    return alias.includes(os) || alias.includes(architecture)
  } catch (error) {
    if (errorCode(error) !== 'PLATFORM_INVALID') throw error
    return true
  }
}

function isImageName(text: string): boolean {
  return typeof readImageReference(text) !== 'string'
}

function expand(text: string, env: Environment, directives: Directives): ExpandedWord | undefined {
  try {
    return expandWord(text, env, directives)
  } catch (error) {
    if (errorCode(error) !== 'EXPANSION_FAILED') throw error
    return undefined
  }
}
