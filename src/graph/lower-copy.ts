import { TbuildError } from '../base/errors.ts'
import type { CopyInstruction } from '../dockerfile/instruction.ts'
import { parseChmod } from '../values/chmod.ts'
import type { Expander } from './expander.ts'
import { copyHistory } from './history.ts'
import type { CopyOp, CopyOpSource, GitOp, HttpOp, Vertex } from './op.ts'
import { destinationPath, sourcePath } from './paths.ts'
import { remoteKind, remoteOp, remotePath } from './remote.ts'
import { addStep, type StageContext } from './stage-context.ts'
import { copyFrom } from './stage-links.ts'
import { type StageState, withHistory } from './stage-state.ts'
import { slashDestination, slashPath } from './windows.ts'

/** The words of a COPY or ADD after expansion. */
interface CopyWords {
  readonly sources: readonly string[]
  readonly destination: string
  readonly chown: string | undefined
  readonly chmod: string | undefined
  readonly exclude: readonly string[]
  readonly checksum: string | undefined
}

export async function lowerCopy(state: StageState, instruction: CopyInstruction, context: StageContext): Promise<StageState> {
  const words = expandCopy(instruction, context.expander(state.env))
  const link = instruction.link && !words.chmod
  if (words.chmod) parseChmod(words.chmod)
  const inputs: Vertex[] = []
  const sources = await copySources(state, instruction, words, context, inputs)
  if (instruction.from === undefined) {
    const paths = words.sources.filter((source) => remoteKind(source) === 'path')
    context.checks.copy(instruction, paths, context.options.checks.ignored)
  }
  const destination = destinationPath(state.workdir, slashDestination(words.destination, state.platform))
  const op: CopyOp = {
    kind: 'copy',
    sources,
    destination,
    ...(words.destination.endsWith('/.') ? { written: `${destination}.` } : {}),
    // --chmod makes it a normal copy, silently (F20).
    link,
    parents: instruction.parents,
    exclude: words.exclude,
    ...(words.chown ? { chown: words.chown } : {}),
    ...(words.chmod ? { chmod: words.chmod } : {}),
    ...(context.epoch === undefined ? {} : { createdTime: context.epoch }),
  }
  const root = addStep(op, state, context, inputs)
  return withHistory({ ...state, root }, copyHistory(instruction, words), 'layer')
}

function expandCopy(instruction: CopyInstruction, expand: Expander): CopyWords {
  const optional = (word: { text: string } | undefined) => (word === undefined ? undefined : expand.word(word.text))
  return {
    chown: optional(instruction.chown),
    chmod: optional(instruction.chmod),
    checksum: optional(instruction.checksum),
    // BuildKit expands no variables there (buildkit#6072).
    exclude: instruction.exclude.map((word) => word.text),
    sources: instruction.sources.map((source) => expand.word(source.text)),
    destination: expand.word(instruction.destination.text),
  }
}

async function copySources(
  state: StageState,
  instruction: CopyInstruction,
  words: CopyWords,
  context: StageContext,
  inputs: Vertex[],
): Promise<CopyOpSource[]> {
  if (words.checksum && words.sources.length !== 1) {
    throw new TbuildError('CHECKSUM_SOURCES', "checksum can't be specified for multiple sources")
  }
  const origin = instruction.from === undefined ? undefined : await fromSource(instruction, context)
  const raw = context.expander(state.env, true)
  const paths = words.sources.map((source): CopyOpSource => {
    const remote = remoteSource(source, instruction, words, context)
    const vertex = remote?.vertex ?? (instruction.from === undefined ? context.sources.context() : origin)
    const unpack = instruction.kind === 'copy' ? false : unpackMode(instruction, remote !== undefined)
    // With --parents the path is a pattern, to be read as it is written (F22).
    const slashed = remote === undefined ? slashPath(source, state.platform) : source
    const local = instruction.parents ? slashed : sourcePath(slashed)
    const path = remote === undefined ? local : remotePath(remote.op)
    return { kind: 'path', input: vertex === undefined ? -1 : inputOf(vertex, inputs), path, unpack }
  })
  const contents = instruction.heredocs.map(
    (heredoc): CopyOpSource => ({
      kind: 'content',
      name: heredoc.name,
      text: heredoc.expand ? raw.word(heredoc.content) : heredoc.content,
    }),
  )
  return [...paths, ...contents]
}

function inputOf(vertex: Vertex, inputs: Vertex[]): number {
  const at = inputs.indexOf(vertex)
  return at >= 0 ? at : inputs.push(vertex) - 1
}

async function fromSource(instruction: CopyInstruction, context: StageContext): Promise<Vertex | undefined> {
  const name = copyFrom(instruction, context.directives) as string
  return context.sources.from(name, context.stage, { kind: 'copy', at: instruction })
}

interface RemoteVertex {
  readonly vertex: Vertex
  readonly op: GitOp | HttpOp
}

/** A URL or repository (F25, F30–F33); undefined for a path. */
function remoteSource(source: string, instruction: CopyInstruction, words: CopyWords, context: StageContext): RemoteVertex | undefined {
  const kind = remoteKind(source)
  if (instruction.kind === 'copy') {
    if (kind !== 'path') {
      throw new TbuildError('COPY_REMOTE', `source can't be a ${kind === 'git' ? 'git ref' : 'URL'} for COPY`, { hint: 'use ADD' })
    }
    return undefined
  }
  if (kind === 'path') {
    if (words.checksum) throw new TbuildError('CHECKSUM_KIND', 'checksum requires HTTP(S) or Git sources')
    return undefined
  }
  const { keepGitDir, triggerOf } = instruction
  const op = { ...remoteOp(source, kind, { checksum: words.checksum, keepGitDir }), ...(triggerOf === undefined ? {} : { triggerOf }) }
  const name = op.kind === 'git' ? `[internal] load git source ${source}` : `[internal] load ${source}`
  const vertex = context.builder.shared(JSON.stringify(op), { op, name, step: `${op.kind} ${source}`, span: instruction.span })
  return { vertex, op }
}

/** Local archives unpack unless --unpack=false, URLs only with --unpack=true (F26, F30). */
function unpackMode(instruction: CopyInstruction, isRemote: boolean): 'auto' | boolean {
  if (instruction.unpack !== undefined) return instruction.unpack
  return isRemote ? false : 'auto'
}
