import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { BuildEvent } from '../../src/base/events.ts'
import { build } from '../../src/build.ts'
import type { BuildOptions } from '../../src/build-options.ts'
import type { ImageConfigFile } from '../../src/values/oci.ts'
import { readImage } from './image-archive.ts'
import { applyLayers, type Tree } from './image-tree.ts'

/** Builds in this process, so that a server of the same test can answer them. */
export interface RemoteBuilds {
  readonly folder: string
  /** Makes a directory with these files. */
  files(name: string, files: Readonly<Record<string, string>>): string
  /** The merged tree of the image and what the engine told. */
  build(options: BuildOptions): Promise<{ tree: Tree; config: ImageConfigFile; events: BuildEvent[] }>
  /** The code of the error that a build ends with; fails when it does not. */
  refusal(options: BuildOptions): Promise<{ code: string | undefined; message: string }>
  remove(): void
}

export function remoteBuilds(): RemoteBuilds {
  const folder = mkdtempSync(join(tmpdir(), 'tbuild-remote-'))
  const root = join(folder, 'store')
  let count = 0
  const builds: RemoteBuilds = {
    folder,
    files(name, files) {
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, name, path)), { recursive: true })
        writeFileSync(join(folder, name, path), text)
      }
      return join(folder, name)
    },
    async build(options) {
      count += 1
      const dest = join(folder, `image-${count}.tar`)
      const events: BuildEvent[] = []
      await build({ root, outputs: [{ type: 'oci', dest, tar: true }], ...options }, { onEvent: (event) => events.push(event) })
      const { layers, config } = readImage(dest)
      return { tree: applyLayers(layers), config, events }
    },
    async refusal(options) {
      const error = await builds.build(options).then(
        () => new Error('the build succeeded'),
        (reason) => reason as Error & { code?: string },
      )
      return { code: (error as { code?: string }).code, message: error.message }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
  return builds
}

/** The text of a stream on standard input. */
export async function* bytesOf(data: Uint8Array | string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(data)
}

/** `name text` of each file, `name/` of a directory and `name -> target` of a symlink, sorted. */
export function listing(tree: Tree): string[] {
  return [...tree]
    .filter(([name]) => name !== '')
    .map(([name, node]) => {
      if (node.type === 'directory') return `${name}/`
      return node.type === 'symlink' ? `${name} -> ${node.linkname}` : `${name} ${node.data.toString('utf8').trim()}`
    })
    .sort()
}

/** Vertices that were served from the cache, by name. */
export function cachedNames(events: readonly BuildEvent[]): string[] {
  const names = new Map(events.flatMap((event) => (event.type === 'vertex' ? [[event.id, event.name] as const] : [])))
  return events.flatMap((event) => (event.type === 'done' && event.cached ? [names.get(event.id) ?? ''] : []))
}

/** git in a folder, as a person with no configuration; what it printed. */
export function git(folder: string, ...args: readonly string[]): string {
  const person = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@example.com', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@example.com' }
  const dates = { GIT_AUTHOR_DATE: '1000000000 +0000', GIT_COMMITTER_DATE: '1000000000 +0000' }
  const { status, stdout, stderr } = spawnSync('git', ['-c', 'init.defaultBranch=main', '-c', 'protocol.file.allow=always', ...args], {
    cwd: folder,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', ...person, ...dates },
  })
  if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`)
  return stdout.trim()
}

/** Makes the directory a repository with all its files in one commit, and beside it NAME.git, which a server hands out. */
export function publish(directory: string): void {
  const name = basename(directory)
  git(directory, 'init', '-q')
  git(directory, 'add', '.')
  git(directory, 'commit', '-qm', 'one')
  git(dirname(directory), 'clone', '-q', '--bare', name, `${name}.git`)
}
