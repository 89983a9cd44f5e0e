import { constants } from 'node:fs'
import { chmod, copyFile, mkdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { TbuildError } from '../base/errors.ts'
import type { HttpOp } from '../graph/op.ts'
import type { Remotes } from '../ops/remotes.ts'
import type { FilesRef } from '../ops/types.ts'
import type { Store } from '../store/store.ts'
import { directoryView } from '../tree/view.ts'
import type { Images } from './images.ts'

/** What ops fetch from elsewhere. */
export function remotes(images: Images, store: Store): Remotes {
  return {
    image: (digest, vertex) => images.layers(digest, vertex),
    http: (op, signal) => fetchFile(op, store, signal),
    async git(op) {
      throw new TbuildError('ADD_GIT_UNSUPPORTED', `ADD of a git repository is not supported yet: ${op.remote}`, {
        hint: 'clone it in a RUN step, or into the build context',
      })
    },
  }
}

/** A tree with the one file of a URL: 0600, with the time of Last-Modified, else the epoch (F30). */
async function fetchFile(op: HttpOp, store: Store, signal: AbortSignal): Promise<FilesRef> {
  const { fetchUrl } = await import('../registry/http-fetch.ts')
  const { blobs } = store
  const file = await fetchUrl(op.url, { blobs, signal, ...(op.checksum === undefined ? {} : { checksum: op.checksum }) })
  const folder = store.temporary()
  await mkdir(folder, { mode: 0o700 })
  const path = join(folder, op.filename)
  await copyFile(blobs.path(file.digest), path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
  await chmod(path, 0o600)
  const time = file.lastModified ?? 0
  await utimes(path, time, time)
  return { kind: 'files', identity: folder, view: directoryView(folder), resetOwner: true }
}
