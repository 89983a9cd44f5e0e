import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TarEntry, TarItem } from '../../../src/tar/types.ts'
import type { TreeNode, TreeView } from '../../../src/tree/types.ts'

/** Fresh folders below one temporary folder, removed after the tests of a file. */
export function temporary(): { folder(name?: string): string; shell(script: string, cwd: string): string } {
  const top = mkdtempSync(join(tmpdir(), 'tbuild-tree-'))
  let count = 0
  // rm and not rmSync, which recurses.
  afterAll(() => execFileSync('rm', ['-rf', top]))
  return {
    folder(name = 'd') {
      const path = join(top, `${count++}-${name}`)
      mkdirSync(path)
      return path
    },
    shell: (script, cwd) => execFileSync('sh', ['-euc', script], { cwd, encoding: 'latin1' }),
  }
}

/** Every path of a view with what counts of it, a line each. */
export function listing(view: TreeView, options: { times?: boolean } = {}): string[] {
  const lines: string[] = []
  const visit = (directory: TreeNode) => {
    for (const node of view.children(directory)) {
      lines.push(line(view, node, options.times === true))
      if (node.type === 'directory') visit(node)
    }
  }
  visit(view.root)
  return lines
}

function line(view: TreeView, node: TreeNode, times: boolean): string {
  const { mode, uid, gid, size, mtimeSeconds, mtimeNanoseconds } = node.stat
  const target = node.type === 'symlink' ? ` -> ${view.readlink(node).toString('latin1')}` : ''
  const bytes = node.type === 'file' ? ` ${size}` : ''
  const time = times ? ` ${mtimeSeconds}.${mtimeNanoseconds}` : ''
  return `${node.path.toString('latin1')} ${node.type} ${(mode & 0o7777).toString(8)} ${uid}:${gid}${bytes}${target}${time}`
}

export type Loose = Partial<Omit<TarEntry, 'name' | 'linkname'>> & { name: string; linkname?: string; data?: string }

/** Entries as a reader of tars yields them. */
export async function* entries(...list: readonly Loose[]): AsyncGenerator<TarItem> {
  for (const { name, linkname, data = '', ...rest } of list) {
    const entry: TarEntry = {
      ...{ type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 1000, size: data.length, ...rest },
      name: Buffer.from(name),
      ...(linkname === undefined ? {} : { linkname: Buffer.from(linkname) }),
    }
    yield { entry, content: once(Buffer.from(data)) }
  }
}

async function* once(data: Buffer): AsyncGenerator<Uint8Array> {
  if (data.length > 0) yield data
}

export async function codeOf(promise: Promise<unknown> | (() => unknown)): Promise<string | undefined> {
  try {
    await (typeof promise === 'function' ? promise() : promise)
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return undefined
}
