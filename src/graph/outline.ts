import type { Span } from '../base/span.ts'
import type { ArgInstruction, FromInstruction, Stage, StagedDockerfile } from '../dockerfile/instruction.ts'
import { expandWord } from '../dockerfile/word.ts'
import { baseName } from './base.ts'
import type { BuildArg, BuildArgValues } from './build-args.ts'
import { Env } from './env.ts'
import { lowerTarget } from './lower.ts'
import type { LoweredStage, StageLowering } from './lower-stage.ts'
import type { LowerOptions } from './lower-types.ts'
import type { ExecOpMount, Vertex } from './op.ts'

/** What a build of the target takes from its caller, as BuildKit's frontend.outline tells it. */
export interface Outline {
  /** Of the target stage. */
  readonly name: string | undefined
  readonly description: string | undefined
  readonly args: readonly OutlineArg[]
  readonly secrets: readonly OutlineMount[]
  readonly ssh: readonly OutlineMount[]
}

export interface OutlineArg {
  readonly name: string
  readonly description: string | undefined
  readonly value: string | undefined
  readonly span: Span
}

/** An id that a RUN mounts. */
export interface OutlineMount {
  readonly name: string
  readonly required: boolean
  readonly span: Span
}

/** An ARG before the first FROM. */
interface GlobalArg extends OutlineArg {
  /** Names that its default uses. */
  readonly uses: ReadonlySet<string>
}

/** The comment above an ARG or FROM that begins with its name, without the name. */
export function description({ comments }: ArgInstruction | FromInstruction, name: string | undefined): string | undefined {
  return name === undefined ? undefined : comments.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1)
}

/**
 * Lowers the target and lists what it and the stages that it needs declare: each name once, by the stage that comes first of the target itself, those
 * that it is FROM, and those that it takes files from, each with what it needs in turn.
 */
export async function outline(file: StagedDockerfile, options: LowerOptions): Promise<Outline> {
  const { lowering, index } = await lowerTarget(file, options)
  const args = new Map<string, OutlineArg>()
  const mounts = { secret: new Map<string, OutlineMount>(), ssh: new Map<string, OutlineMount>() }
  const globals = { known: describedGlobals(file, lowering.globals, options.buildArgs), usedBy: fromUses(lowering) }
  const mounted = mountsBySpan(lowering.builder.vertices)
  for (const stage of await inOrder(lowering, index)) {
    for (const arg of usedArgs(stage, globals)) keep(args, arg)
    for (const { span } of [stage.stage.from, ...stage.stage.instructions]) {
      for (const { type, id, required } of mounted.get(span) ?? []) keep(mounts[type], { name: id, required, span })
    }
  }
  const { from } = file.stages[index] as Stage
  return {
    name: from.alias,
    description: description(from, from.alias),
    args: sorted(args),
    secrets: sorted(mounts.secret),
    ssh: sorted(mounts.ssh),
  }
}

type SecretMount = Extract<ExecOpMount, { readonly type: 'secret' | 'ssh' }>

function mountsBySpan(vertices: readonly Vertex[]): ReadonlyMap<Span, readonly SecretMount[]> {
  const found = new Map<Span, SecretMount[]>()
  for (const { op, span } of vertices) {
    if (op.kind !== 'exec' || span === undefined) continue
    const own = op.mounts.filter((mount) => mount.type === 'secret' || mount.type === 'ssh')
    found.set(span, [...(found.get(span) ?? []), ...own])
  }
  return found
}

async function inOrder(lowering: StageLowering, target: number): Promise<LoweredStage[]> {
  const found = new Map<number, LoweredStage>()
  const pending = [target]
  for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
    if (found.has(index)) continue
    const stage = await lowering.lowered(index)
    found.set(index, stage)
    pending.push(...stage.sources.toReversed(), ...(stage.parent === undefined ? [] : [stage.parent]))
  }
  return [...found.values()]
}

function keep<T extends { readonly name: string }>(into: Map<string, T>, item: T): void {
  if (!into.has(item.name)) into.set(item.name, item)
}

function sorted<T extends { readonly span: Span }>(items: ReadonlyMap<string, T>): T[] {
  return [...items.values()].sort((a, b) => a.span.start.line - b.span.start.line)
}

function describedGlobals(file: StagedDockerfile, values: Env, buildArgs: BuildArgValues): Map<string, GlobalArg> {
  const found = new Map<string, GlobalArg>()
  let env = Env.empty
  for (const instruction of file.globals) {
    for (const { name, value: fallback } of instruction.args) {
      const value = values.get(name)
      const uses = new Set(buildArgs.has(name) || fallback === undefined ? [] : expandWord(fallback, env, file.directives).matched)
      // A default out of the name's own last value uses what that used.
      if (uses.delete(name)) for (const used of found.get(name)?.uses ?? []) uses.add(used)
      if (value !== undefined) env = env.with(name, value)
      // The last declaration counts, and one without a default has no value of its own.
      const shown = buildArgs.has(name) || fallback !== undefined ? value : undefined
      found.set(name, { name, value: shown, description: description(instruction, name), span: instruction.span, uses })
    }
  }
  return found
}

/** The ARGs before the first FROM, and which of them the FROM of a stage uses. */
interface Globals {
  readonly known: ReadonlyMap<string, GlobalArg>
  readonly usedBy: readonly ReadonlySet<string>[]
}

/** What a stage declares, what FROM uses of it and of the stages below it, and what the defaults of those use. An ARG of a stage below is not this one's. */
function usedArgs({ stage, state, parentState }: LoweredStage, { known, usedBy }: Globals): OutlineArg[] {
  const own = new Map<string, OutlineArg | undefined>()
  for (const arg of state.args.slice(parentState?.args.length ?? 0)) own.set(arg.name, declared(arg) ?? own.get(arg.name))
  const names = new Set([...own.keys(), ...(usedBy[stage.index] as ReadonlySet<string>)])
  for (const name of names) if (own.get(name) === undefined) for (const used of known.get(name)?.uses ?? []) names.add(used)
  return [...names].flatMap((name) => own.get(name) ?? known.get(name) ?? [])
}

/** By stage, the variables in its FROM, if no named context replaces it, and in those of the stages that its name leads to, whatever stands for it. */
function fromUses(lowering: StageLowering): ReadonlySet<string>[] {
  const { file, names, globals } = lowering
  const uses: ReadonlySet<string>[] = []
  for (const { index, from } of file.stages) {
    const parent = names.before(index, baseName(from, globals, file.directives))
    const below = parent === undefined ? new Set<string>() : (uses[parent.index] as ReadonlySet<string>)
    const texts = lowering.isReplaced(index) ? [] : [from.image.text, from.platform?.text ?? '']
    const own = texts.flatMap((text) => [...expandWord(text, globals, file.directives).matched])
    uses.push(own.length === 0 ? below : new Set([...own, ...below]))
  }
  return uses
}

/** One that takes its value from a global ARG is listed as that. */
function declared({ name, value, at, inherited }: BuildArg): OutlineArg | undefined {
  return at === undefined || inherited ? undefined : { name, value, description: description(at, name), span: at.span }
}
