import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Finished, script, tbuild } from './cli.ts'

/** A folder of a test file: a store, contexts, outputs. `busybox` is a base image in it. */
export interface Workspace {
  readonly folder: string
  readonly store: string
  /** Options that every build here needs: the store, and where `busybox` is. */
  readonly base: readonly string[]
  /** A context with these files; `Dockerfile` is one of them. */
  context(files: Readonly<Record<string, string>>): string
  /** Path of an output that is not there yet. */
  path(name: string): string
  /** The command line on the workspace's store. */
  run(args: readonly string[], options?: Parameters<typeof tbuild>[1]): Finished
  /** The same, and an exception when it fails. */
  build(args: readonly string[], options?: Parameters<typeof tbuild>[1]): Finished
  /** `tbuild inspect`. */
  inspect(name: string): string
  remove(): void
}

/** `parent`: where the folder is, instead of TMPDIR. */
export function openWorkspace(parent = tmpdir()): Workspace {
  const layout = script('busybox-layout.mjs')
  if (layout.status !== 0) throw new Error(layout.stderr)
  const folder = mkdtempSync(join(parent, 'tbuild-outputs-'))
  const store = join(folder, 'store')
  const base = ['--root', store, '--build-context', `busybox=oci-layout://${layout.stdout.trim()}`]
  let contexts = 0
  const workspace: Workspace = {
    folder,
    store,
    base,
    context(files) {
      contexts += 1
      const path = join(folder, `context-${contexts}`)
      mkdirSync(path)
      for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
      return path
    },
    path: (name) => join(folder, name),
    run: (args, options) => tbuild([...base, ...(args.includes('-q') ? [] : ['--progress', 'plain']), ...args], options),
    build(args, options) {
      const finished = workspace.run(args, options)
      if (finished.status !== 0) throw new Error(finished.stderr)
      return finished
    },
    inspect: (name) => tbuild(['inspect', name, '--root', store]).stdout,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
  return workspace
}
