import { readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { errorCode, TbuildError } from '../base/errors.ts'
import type { SourceFile } from '../base/span.ts'
import { readFileInRoot } from '../tree/read.ts'
import type { TreeView } from '../tree/types.ts'

/** More than any Dockerfile or ignore file needs. */
const LIMIT = 16 * 1024 * 1024

/** A Dockerfile, and the ignore file that stands next to it, if one does (D1). */
export interface DockerfileText {
  readonly file: SourceFile
  readonly ownIgnore: SourceFile | undefined
}

/** `-f PATH`, else Dockerfile, else dockerfile in the context (D10). */
export async function readDockerfile(context: string, path: string | undefined): Promise<DockerfileText> {
  const candidates = path === undefined ? ['Dockerfile', 'dockerfile'].map((name) => join(context, name)) : [resolve(path)]
  for (const candidate of candidates) {
    const text = await readIfThere(candidate)
    if (text === undefined) continue
    const ignore = `${candidate}.dockerignore`
    const own = await readIfThere(ignore)
    return {
      file: { name: path ?? basename(candidate), text },
      ownIgnore: own === undefined ? undefined : { name: basename(ignore), text: own },
    }
  }
  const wanted = path ?? 'Dockerfile'
  throw new TbuildError('DOCKERFILE_NOT_FOUND', `failed to read dockerfile: open ${wanted}: no such file or directory`, {
    hint:
      path === undefined ? 'name it with -f, or make a Dockerfile in the context' : 'the path of -f is relative to the working directory',
  })
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    const data = await readFile(path)
    if (data.length > LIMIT) throw new TbuildError('FILE_TOO_LARGE', `${path} is larger than ${LIMIT} bytes`)
    return data.toString('utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    if (errorCode(error) === 'EISDIR') throw new TbuildError('DOCKERFILE_NOT_FOUND', `failed to read dockerfile: ${path} is a directory`)
    throw error
  }
}

/** A file of a context, resolved inside it: a symlink never leads out (CVE-2022-4122). */
export function readInContext(view: TreeView, name: string): SourceFile | undefined {
  const data = readFileInRoot(view, name, LIMIT)
  return data === undefined ? undefined : { name, text: data.toString('utf8') }
}

/** All of a stream, capped. */
export async function readAll(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > LIMIT) throw new TbuildError('FILE_TOO_LARGE', `the Dockerfile on standard input is larger than ${LIMIT} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
