import type { Progress } from '../base/events.ts'
import type { ContextSources } from '../context/sources.ts'
import { maskedTexts } from '../graph/builder.ts'
import type { CopyOp, GitOp, HttpOp, Op, Vertex } from '../graph/op.ts'
import type { Snapshotter } from '../snapshot/types.ts'
import type { Store } from '../store/store.ts'
import { announce } from './announce.ts'
import type { Walk } from './walk.ts'

interface ContextSourceDeps extends Progress {
  readonly store: Pick<Store, 'temporary'>
  readonly snapshots: Pick<Snapshotter, 'directories'>
  readonly walk: () => Walk
  readonly unpackLimit: number
}

/** Contexts from elsewhere are steps like those of a Dockerfile: shown, cancelled, made once by all builds on the store, and found again when nothing changed. */
export function contextSources(deps: ContextSourceDeps): ContextSources {
  let count = 0
  const vertex = (op: Op, inputs: readonly Vertex[], name: string): Vertex => {
    count += 1
    return maskedTexts({ id: `context-${count}`, op, root: undefined, inputs, name, step: name, noCache: false })
  }
  const fetched = new Map<string, Vertex>()
  const fetchVertex = (op: HttpOp, name: string) => {
    const key = JSON.stringify(op)
    const known = fetched.get(key) ?? vertex(op, [], name)
    fetched.set(key, known)
    return known
  }
  const solve = async (target: Vertex): Promise<string> => {
    announce([target], deps.onEvent)
    const layers = await deps.walk().solve(target)
    const [directory] = await deps.snapshots.directories(layers)
    if (directory === undefined) throw new Error('a context is one layer')
    return directory
  }
  return {
    temporary: () => deps.store.temporary(),
    unpackLimit: deps.unpackLimit,
    signal: deps.signal,
    checkout: (op: GitOp, name) => solve(vertex(op, [], name)),
    fetch: (op, name) => solve(fetchVertex(op, name)),
    unpack: (op, name) => solve(vertex(unpackOp(op), [fetchVertex(op, name)], `copy /${op.filename} /`)),
  }
}

/** ADD --unpack of the one file. */
function unpackOp({ filename }: HttpOp): CopyOp {
  return {
    kind: 'copy',
    sources: [{ kind: 'path', input: 0, path: `/${filename}`, unpack: true }],
    destination: '/',
    link: false,
    parents: false,
    exclude: [],
  }
}
