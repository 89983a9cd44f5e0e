import type { Progress } from '../base/events.ts'
import { urlStep } from '../ops/log.ts'
import { NodeGraph } from './buildkit/nodes.ts'
import type { CacheSession } from './session.ts'

/** A build's steps in BuildKit's graph; a URL and a repository are asked as for our own keys, and no more than once. */
export function stepNodes({ images, remotes }: Pick<CacheSession, 'images' | 'remotes'>, { onEvent, signal }: Progress): NodeGraph {
  return new NodeGraph({
    image: ({ digest }) => images.describe(digest),
    file: ({ id }, op) => remotes.file(op, urlStep({ vertex: id, signal, emit: onEvent }, op)),
    async commit({ id }, op) {
      const onOutput = (stream: 'stdout' | 'stderr', data: Uint8Array) => onEvent({ type: 'log', id, stream, data, time: Date.now() })
      const { commit, ref } = await remotes.commit(op, { signal, onOutput })
      return { commit, ref: ref?.name }
    },
  })
}
