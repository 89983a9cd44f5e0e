import { errorCode, isTbuildError } from '../base/errors.ts'
import type { PullRepository } from './types.ts'

/**
 * A repository whose mirrors are asked first, in order. What the last one, the registry itself, says counts; a mirror that cannot be reached is not asked
 * again. Whoever answers: manifests and blobs are compared with their digests.
 */
export function mirrored(mirrors: readonly PullRepository[], primary: PullRepository): PullRepository {
  if (mirrors.length === 0) return primary
  const dead = new Set<PullRepository>()
  async function first<T>(signal: AbortSignal | undefined, ask: (repository: PullRepository) => Promise<T>): Promise<T> {
    for (const mirror of mirrors) {
      if (dead.has(mirror)) continue
      try {
        return await ask(mirror)
      } catch (error) {
        if (signal?.aborted || !isTbuildError(error)) throw error
        if (errorCode(error) === 'REGISTRY_UNREACHABLE') dead.add(mirror)
      }
    }
    return ask(primary)
  }
  return {
    name: primary.name,
    resolveTag: (tag, signal) => first(signal, (repository) => repository.resolveTag(tag, signal)),
    manifest: (identifier, signal) => first(signal, (repository) => repository.manifest(identifier, signal)),
    blob: (digest, signal) => first(signal, (repository) => repository.blob(digest, signal)),
  }
}
