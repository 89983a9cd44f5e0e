import type { StagedDockerfile } from '../dockerfile/instruction.ts'
import type { Vertex } from './op.ts'

/**
 * Which paths of which context the build reads: what BuildKit has its client send (K17). Instructions of stages that the target does not need count as they are
 * written, for they widen what is sent.
 */
export function contextReads(file: StagedDockerfile, vertices: readonly Vertex[]): Map<string, string[]> {
  const reads = new Map<string, string[]>()
  const add = (context: string, path: string) => {
    const paths = reads.get(context)
    if (paths === undefined) reads.set(context, [path])
    else paths.push(path)
  }
  for (const { op, inputs } of vertices) {
    if (op.kind !== 'copy') continue
    for (const source of op.sources) {
      const input = source.kind === 'path' ? inputs[source.input] : undefined
      if (source.kind === 'path' && input?.op.kind === 'context') add(input.op.name, source.path)
    }
  }
  for (const instruction of file.stages.flatMap(({ instructions }) => instructions)) {
    if ((instruction.kind !== 'copy' && instruction.kind !== 'add') || instruction.from !== undefined) continue
    for (const { text } of instruction.sources) if (!text.includes('$')) add('context', text)
  }
  return reads
}
