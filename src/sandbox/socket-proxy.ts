import { chmodSync, chownSync, closeSync, openSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream'
import { idMap } from '../values/id-map.ts'
import type { ExecSpec } from './types.ts'

/**
 * A `socket` mount is not the host's own socket but one that passes connections on to it, so that it can have the mode and owner that the mount asks for
 * without touching the host's. It lies beside the layer's work directory and goes with it when the builder is killed.
 */
export async function withSocketProxies<T, S extends Pick<ExecSpec, 'mounts' | 'rootfs'>>(
  spec: S,
  run: (spec: S) => Promise<T>,
): Promise<T> {
  if (!spec.mounts.some((mount) => mount.type === 'socket')) return run(spec)
  const folder = dirname(spec.rootfs.work)
  const servers: { server: Server; path: string }[] = []
  try {
    const mounts = []
    for (const mount of spec.mounts) {
      if (mount.type !== 'socket') {
        mounts.push(mount)
        continue
      }
      const path = join(folder, `socket-${servers.length}`)
      servers.push({ server: await listen(folder, path, mount.socket), path })
      const { uid, gid } = idMap().onDisk(mount)
      chownSync(path, uid, gid)
      chmodSync(path, mount.mode)
      mounts.push({ ...mount, socket: path })
    }
    return await run({ ...spec, mounts })
  } finally {
    for (const { server, path } of servers) {
      server.close()
      rmSync(path, { force: true })
    }
  }
}

async function listen(folder: string, path: string, target: string): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const agent = connect({ path: target, allowHalfOpen: true })
    // Either end may vanish at any time; pipeline then ends the other one. That is no error of ours.
    pipeline(client, agent, () => {})
    pipeline(agent, client, () => {})
  })
  rmSync(path, { force: true })
  // A socket's name is at most 107 bytes: it is named through the folder's descriptor, however deep that lies.
  const fd = openSync(folder, 'r')
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(`/proc/self/fd/${fd}/${path.slice(folder.length + 1)}`, resolve)
    })
  } finally {
    closeSync(fd)
  }
  return server
}
