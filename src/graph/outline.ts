import type { Span } from '../base/span.ts'
import type { ArgInstruction, FromInstruction, Stage, StagedDockerfile } from '../dockerfile/instruction.ts'
import { expandWord } from '../dockerfile/word.ts'
import type { BuildArg } from './build-args.ts'
import { Env } from './env.ts'
import { lowerTarget } from './lower.ts'
import type { LoweredStage } from './lower-stage.ts'
import type { LowerOptions } from './lower-types.ts'

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
  readonly uses: Iterable<string>
}

/** The comment above an ARG or FROM that begins with its name, without the name. */
export function description({ comments }: ArgInstruction | FromInstruction, name: string | undefined): string | undefined {
  return name === undefined ? undefined : comments.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1)
}

/** Lowers the target and lists what it and the stages that it needs declare: each name once, where the nearest stage does. */
export async function outline(file: StagedDockerfile, options: LowerOptions): Promise<Outline> {
  const { lowering, index } = await lowerTarget(file, options)
  const args = new Map<string, OutlineArg>()
  const mounts = { secret: new Map<string, OutlineMount>(), ssh: new Map<string, OutlineMount>() }
  const globals = describedGlobals(file, lowering.globals, options)
  const steps = lowering.builder.vertices
  for (const stage of await lowering.lowered(index)) {
    for (const arg of usedArgs(stage, lowering.globals, file, globals)) keep(args, arg)
    for (const { op, span, stage: name } of steps) {
      if (op.kind !== 'exec' || span === undefined || name !== lowering.stageName(stage.stage.index)) continue
      for (const mount of op.mounts) {
        if (mount.type !== 'secret' && mount.type !== 'ssh') continue
        keep(mounts[mount.type], { name: mount.id, required: mount.required, span })
      }
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

function keep<T extends { readonly name: string }>(into: Map<string, T>, item: T): void {
  if (!into.has(item.name)) into.set(item.name, item)
}

function sorted<T extends { readonly span: Span }>(items: ReadonlyMap<string, T>): T[] {
  return [...items.values()].sort((a, b) => a.span.start.line - b.span.start.line)
}

function describedGlobals(file: StagedDockerfile, values: Env, { buildArgs }: LowerOptions): Map<string, GlobalArg> {
  const found = new Map<string, GlobalArg>()
  let env = Env.empty
  for (const instruction of file.globals) {
    for (const { name, value: fallback } of instruction.args) {
      const value = values.get(name)
      const uses = buildArgs.has(name) || fallback === undefined ? [] : expandWord(fallback, env, file.directives).matched
      if (value !== undefined) env = env.with(name, value)
      // The last declaration counts, and one without a default has no value of its own.
      const shown = buildArgs.has(name) || fallback !== undefined ? value : undefined
      found.set(name, { name, value: shown, description: description(instruction, name), span: instruction.span, uses })
    }
  }
  return found
}

/** What a stage declares, its FROM uses, and the defaults of those use. */
function usedArgs({ stage, state, parent }: LoweredStage, env: Env, file: StagedDockerfile, globals: Map<string, GlobalArg>): OutlineArg[] {
  const own = new Map<string, OutlineArg | undefined>()
  for (const arg of state.args.slice(parent?.args.length ?? 0)) own.set(arg.name, declared(arg) ?? own.get(arg.name))
  const { image, platform } = stage.from
  const wanted = [image, ...(platform === undefined ? [] : [platform])].flatMap(({ text }) => [
    ...expandWord(text, env, file.directives).matched,
  ])
  const names = new Set([...own.keys(), ...wanted])
  for (const name of names) if (own.get(name) === undefined) for (const used of globals.get(name)?.uses ?? []) names.add(used)
  return [...names].flatMap((name) => own.get(name) ?? globals.get(name) ?? [])
}

/** One that takes its value from a global ARG is listed as that. */
function declared({ name, value, at, inherited }: BuildArg): OutlineArg | undefined {
  return at === undefined || inherited ? undefined : { name, value, description: description(at, name), span: at.span }
}
