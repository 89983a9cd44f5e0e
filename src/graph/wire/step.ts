import { canonicalJson } from '../../base/canonical-json.ts'
import { integer, listOf, Mismatch, object, oneOf, plain, text, variants } from '../../base/codec.ts'
import { type Digest, isDigest } from '../../base/digest.ts'
import { TbuildError } from '../../base/errors.ts'
import { parseStrictJson } from '../../base/strict-json.ts'
import { type LayerName, layerName } from '../../values/layer-name.ts'
import { opCodec, type PortableOp } from './op.ts'

/** A step with all that another machine must have to run it. */
export interface PortableStep {
  readonly op: PortableOp
  /** The root file system that the op changes, bottom first; empty is scratch. */
  readonly root: readonly LayerName[]
  /** By the positions that the op names them by. */
  readonly inputs: readonly PortableInput[]
}

/** Layers, or files of the caller, who is asked for them by the name of the context. */
export type PortableInput =
  | { readonly kind: 'layers'; readonly layers: readonly LayerName[] }
  | { readonly kind: 'context'; readonly name: string }

const VERSION = 1
/** Bytes: far above any Dockerfile's step, heredocs and arguments included. */
const LIMIT = 16 * 1024 * 1024
const DEPTH = 16
/** Of all root file systems of a step together. */
const LAYERS = 4096

/** Each layer stands once, after those that it was made over; others name it by its position. */
interface Written {
  readonly version: typeof VERSION
  readonly op: PortableOp
  readonly layers: readonly { readonly diffId: Digest; readonly over: Positions }[]
  readonly root: Positions
  readonly inputs: readonly (
    | { readonly kind: 'layers'; readonly layers: Positions }
    | { readonly kind: 'context'; readonly name: string }
  )[]
}

type Positions = readonly number[]

const positions = listOf(integer(0), LAYERS)
const codec = object<Written>({
  version: oneOf(VERSION),
  op: opCodec,
  layers: listOf(object({ diffId: plain('a sha256 digest', isDigest), over: positions }), LAYERS),
  root: positions,
  inputs: listOf(
    variants<Written['inputs'][number], 'kind'>('kind', {
      layers: object({ kind: oneOf('layers'), layers: positions }),
      context: object({ kind: oneOf('context'), name: text }),
    }),
  ),
})

/** One line of JSON; equal steps give equal bytes. */
export function writeStep({ op, root, inputs }: PortableStep): string {
  const table = new LayerTable()
  const written: Written = {
    version: VERSION,
    op,
    root: root.map((name) => table.positionOf(name)),
    inputs: inputs.map((input) =>
      input.kind === 'context' ? input : { kind: 'layers', layers: input.layers.map((name) => table.positionOf(name)) },
    ),
    layers: table.rows,
  }
  return canonicalJson(codec.write(written))
}

/** Throws STEP_INVALID, which names the place, and nothing else, whatever the bytes are. */
export function readStep(bytes: Uint8Array): PortableStep {
  try {
    return parsed(bytes)
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error
    throw new TbuildError('STEP_INVALID', `${error.place === '' ? 'step' : `step: ${error.place}`}: ${error.message}`, {
      hint: 'both machines must run versions of tbuild that speak of steps alike',
    })
  }
}

function parsed(bytes: Uint8Array): PortableStep {
  if (bytes.length > LIMIT) throw new Mismatch('', `longer than ${LIMIT} bytes`)
  const json = parseStrictJson(bytes, DEPTH)
  if ('problem' in json) throw new Mismatch('', json.problem)
  checkVersion(json.value)
  const { op, layers, root, inputs } = codec.read(json.value, '')
  checkInputs(op, inputs.length)
  const names = layerNames(layers)
  return {
    op,
    root: at(names, root, 'root'),
    inputs: inputs.map((input, index) =>
      input.kind === 'context' ? input : { kind: 'layers', layers: at(names, input.layers, `inputs[${index}].layers`) },
    ),
  }
}

/** Before anything else: another version has other members. */
function checkVersion(value: unknown): void {
  const version =
    value !== null && typeof value === 'object' && Object.hasOwn(value, 'version') ? (value as Partial<Written>).version : VERSION
  if (version !== VERSION) throw new Mismatch('version', `${JSON.stringify(version).slice(0, 50)} is not known here, only ${VERSION}`)
}

function checkInputs(op: PortableOp, count: number): void {
  const named =
    op.kind === 'exec'
      ? op.mounts.map(({ input = -1 }, index) => [input, `op.mounts[${index}].input`] as const)
      : op.kind === 'copy'
        ? op.sources.map((source, index) => [source.kind === 'path' ? source.input : -1, `op.sources[${index}].input`] as const)
        : []
  for (const [input, place] of named) if (input >= count) throw new Mismatch(place, `there are ${count} inputs`)
}

function layerNames(rows: Written['layers']): LayerName[] {
  const names: LayerName[] = []
  const known = new Set<Digest>()
  for (const [index, { diffId, over }] of rows.entries()) {
    const name = layerName(diffId, at(names, over, `layers[${index}].over`))
    if (known.has(name.digest)) throw new Mismatch(`layers[${index}]`, 'a layer that stands before')
    known.add(name.digest)
    names.push(name)
  }
  return names
}

function at(names: readonly LayerName[], wanted: Positions, place: string): LayerName[] {
  return wanted.map((position, index) => {
    const name = names[position]
    if (name === undefined) throw new Mismatch(`${place}[${index}]`, `there is no layer ${position} before it`)
    return name
  })
}

class LayerTable {
  readonly rows: { readonly diffId: Digest; readonly over: Positions }[] = []
  readonly #positions = new Map<Digest, number>()

  positionOf({ digest, diffId, over }: LayerName): number {
    const known = this.#positions.get(digest)
    if (known !== undefined) return known
    const row = { diffId, over: over.map((name) => this.positionOf(name)) }
    const position = this.rows.push(row) - 1
    this.#positions.set(digest, position)
    return position
  }
}
