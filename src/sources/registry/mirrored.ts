import { errorCode, isTbuildError } from '../../base/errors.ts'
import type { PullRepository } from '../image/types.ts'
import { isUnanswered } from './registry-error.ts'

interface Mirror extends PullRepository {
  readonly endpoint: { readonly host: string }
}

const FAILURES = ['REGISTRY_UNREACHABLE', 'REGISTRY_REFUSED']

/**
 * A repository whose mirrors are asked first, in order. What the last one, the registry itself, says counts. A mirror that fails after all tries is not
 * asked for this image again, and one without an answer for none: its host comes into `unreachable`, which all repositories of a client share. Whoever
 * answers: manifests and blobs are compared with their digests.
 */
export function mirrored(mirrors: readonly Mirror[], primary: PullRepository, unreachable: Set<string>): PullRepository {
  if (mirrors.length === 0) return primary
  const failed = new Set<Mirror>()
  async function first<T>(signal: AbortSignal | undefined, ask: (repository: PullRepository) => Promise<T>): Promise<T> {
    for (const mirror of mirrors) {
      if (failed.has(mirror) || unreachable.has(mirror.endpoint.host)) continue
      try {
        return await ask(mirror)
      } catch (error) {
        if (signal?.aborted || !isTbuildError(error)) throw error
        if (isUnanswered(error)) unreachable.add(mirror.endpoint.host)
        else if (FAILURES.includes(errorCode(error) ?? '')) failed.add(mirror)
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
