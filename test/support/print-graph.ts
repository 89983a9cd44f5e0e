import { canonicalJson, type Json } from '../../src/base/canonical-json.ts'
import type { Graph } from '../../src/graph/lower.ts'
import type { Op, Vertex } from '../../src/graph/op.ts'
import { historyList } from '../../src/graph/stage-state.ts'
import { formatPlatform } from '../../src/values/platform.ts'

/**
 * A plan as text, for people and for tests: one paragraph a vertex with its name, kind, root and inputs by number, and the members of its op that are not
 * empty; then the image's config and history.
 */
export function printGraph({ vertices, target }: Graph): string {
  const { config, history, author, platform } = target
  const image = [
    `image ${formatPlatform(platform)} root ${target.root?.id ?? '-'}`,
    ...(author === undefined ? [] : [`  author: ${author}`]),
    ...members(config),
    ...historyList(history).map((entry) => `  ${entry.empty_layer ? '-' : '+'} ${oneLine(entry.created_by ?? '')}`),
  ]
  return `${[...vertices.map(printVertex), image.join('\n')].join('\n\n')}\n`
}

function printVertex(vertex: Vertex): string {
  const { id, op, root, inputs, name, noCache } = vertex
  const links = [
    root === undefined ? '' : ` on ${root.id}`,
    inputs.length === 0 ? '' : ` from ${inputs.map((input) => input.id).join(' ')}`,
  ]
  return [`${id} ${op.kind}${links.join('')}${noCache ? ' no-cache' : ''}  ${oneLine(name)}`, ...members(shown(op))].join('\n')
}

/** Platforms are shorter as text, and settings are members as others; the rest is as it is. */
function shown(op: Op): object {
  const { kind: _kind, ...rest } = op
  return Object.fromEntries(
    Object.entries(rest).flatMap(([name, value]) => {
      if (name === 'settings') return Object.entries(value)
      return [[name, name === 'platform' ? formatPlatform(value) : value]]
    }),
  )
}

function members(value: object): string[] {
  return Object.entries(value as Record<string, Json>)
    .filter(([, member]) => !isEmpty(member))
    .map(([name, member]) => `  ${name}: ${typeof member === 'string' ? oneLine(member) : canonicalJson(member)}`)
}

function isEmpty(value: Json | undefined): boolean {
  return value === undefined || value === null || value === false || value === '' || (Array.isArray(value) && value.length === 0)
}

function oneLine(text: string): string {
  return text.replaceAll('\n', '\\n')
}
