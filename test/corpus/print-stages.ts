import type { Span } from '../../src/base/span.ts'
import type { Instruction, StagedDockerfile } from '../../src/dockerfile/instruction.ts'

/** A parse as text, one line a member: what `result` files hold. Spans are `line:column-line:column`. */
export function printStages({ directives, globals, stages }: StagedDockerfile): string {
  const lines = [`directives ${JSON.stringify(directives)}`, ...globals.flatMap((arg) => printInstruction(arg, ''))]
  for (const stage of stages) {
    lines.push(`stage ${stage.index}${stage.name === undefined ? '' : ` ${stage.name}`} ${printSpan(stage.span)}`)
    for (const instruction of [stage.from, ...stage.instructions]) lines.push(...printInstruction(instruction, '  '))
  }
  return `${lines.join('\n')}\n`
}

/** What is the same for most is left out. */
const USUAL: Record<string, string> = {
  comments: '[]',
  heredocs: '[]',
  mounts: '[]',
  devices: '[]',
  exclude: '[]',
  link: 'false',
  parents: 'false',
}

function printInstruction({ kind, span, ...members }: Instruction, indent: string): string[] {
  const shown = Object.entries(members).filter(([name, value]) => JSON.stringify(value, compact) !== USUAL[name])
  return [`${indent}${kind} ${printSpan(span)}`, ...shown.map(([name, value]) => `${indent}  ${name} ${JSON.stringify(value, compact)}`)]
}

function compact(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}ns`
  return typeof value === 'object' && value !== null && 'file' in value && 'start' in value ? printSpan(value as Span) : value
}

function printSpan({ start, end }: Span): string {
  return `${start.line}:${start.column}-${end.line}:${end.column}`
}
