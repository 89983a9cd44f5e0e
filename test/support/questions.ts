import { isTbuildError } from '../../src/base/errors.ts'
import type { BuildOptions } from '../../src/build-options.ts'
import { answer as check } from '../../src/cli/commands/check.ts'
import { answer as outline } from '../../src/cli/commands/outline.ts'
import { answer as targets } from '../../src/cli/commands/targets.ts'

export const QUESTIONS = ['check', 'outline', 'targets'] as const
export type Question = (typeof QUESTIONS)[number]

const ASK = { check, outline, targets }

/** What `--call=QUESTION,format=json` prints, in this process; of a refusal its message. */
export async function askTbuild(question: Question, options: BuildOptions): Promise<Reply> {
  try {
    return (await ASK[question](options, {})).json() as Reply
  } catch (error) {
    if (!isTbuildError(error)) throw error
    return { refused: error.message }
  }
}

interface Placed {
  readonly location?: {
    readonly ranges?: readonly { readonly start: { readonly line: number }; readonly end: { readonly line: number } }[]
  }
}

interface Reply extends Record<string, unknown> {
  readonly warnings?: readonly (Placed & Record<string, unknown>)[] | null
  readonly buildError?: Placed & { readonly message: string }
  readonly refused?: string
}

/** A reply as lines that say the same in the same words, whoever gave it: `2-3 Rule: message`, `error 4: message`, `args: NAME …`. */
export function replyLines(reply: Reply): string[] {
  const { warnings, buildError, refused, sources: _, ...rest } = reply
  const lines = (warnings ?? []).map((one) => `${lineRanges(one)} ${one.ruleName}: ${one.detail}`)
  for (const [key, value] of Object.entries(rest)) {
    if (!Array.isArray(value)) lines.push(`${key}: ${value}`)
    else for (const item of value) lines.push(`${key}: ${lineRanges(item)} ${describe(item)}`)
  }
  if (buildError !== undefined) lines.push(`error ${lineRanges(buildError)}: ${buildError.message}`)
  return refused === undefined ? lines : [...lines, `refused: ${refused}`]
}

function describe({ location: _, ...item }: Placed & Record<string, unknown>): string {
  return Object.keys(item)
    .sort()
    .map((key) => `${key}=${JSON.stringify(item[key])}`)
    .join(' ')
}

/** `2-3`, `2,4` for ranges apart, `-` without a place. */
function lineRanges({ location }: Placed): string {
  const runs: [number, number][] = []
  for (const { start, end } of location?.ranges ?? []) {
    const run = runs.at(-1)
    if (run !== undefined && start.line <= run[1] + 1) run[1] = Math.max(run[1], end.line)
    else runs.push([start.line, end.line])
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',') || '-'
}
