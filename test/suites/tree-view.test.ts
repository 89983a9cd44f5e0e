import { closeSync, readFileSync } from 'node:fs'
import { sys } from '../../src/base/sys.ts'
import type { TreeNode, TreeView } from '../../src/tree/types.ts'
import { directoryView, layeredView } from '../../src/tree/view.ts'
import { layerWriter } from '../../src/tree/writer.ts'
import { temporary } from '../unit/tree/folders.ts'

const { folder, shell } = temporary()

// The contract of TreeView (src/tree/types.ts), for everything that implements it: the same tree, made in each one's way.
const LOWER = `umask 022; mkdir -p d/sub empty old gone; echo one > d/f; echo x > old/hidden; echo y > gone/z; printf q > "$(printf 'n\\351')"; echo early > changed`
const UPPER = `umask 022; ln d/f d/twin 2>/dev/null || { mkdir -p d; echo one > d/f; ln d/f d/twin; }; ln -s /d/f absolute; ln -s ../../../d d/up; ln -s loop loop
  ln -s nowhere dangling; mkfifo fifo; echo two > d/sub.txt; echo late > changed; chmod 4711 changed; mkdir -p old; chmod 750 old; setfattr -n user.tag -v 1 d/f`

function whole(): string {
  const top = folder('whole')
  shell(`${LOWER}; rm -r gone old/hidden; ${UPPER}`, top)
  return top
}

function layers(): { base: string; upper: string } {
  const [base, upper] = [folder('base'), folder('upper')]
  shell(LOWER, base)
  shell(`${UPPER}; mknod gone c 0 0; setfattr -n trusted.overlay.opaque -v y old`, upper)
  return { base, upper }
}

const IMPLEMENTATIONS: Record<string, () => TreeView> = {
  directoryView: () => directoryView(whole()),
  'layeredView of one layer': () => layeredView([whole()]),
  'layeredView of two layers': () => {
    const { base, upper } = layers()
    return layeredView([base, upper])
  },
  'the merged view of a writer': () => {
    const { base, upper } = layers()
    return layerWriter(upper, layeredView([base]))
  },
}

const text = (node: TreeNode | undefined) => node?.path.toString('latin1')
function content(view: TreeView, node: TreeNode): string {
  const fd = view.open(node)
  try {
    return readFileSync(fd, 'utf8')
  } finally {
    closeSync(fd)
  }
}

describe.each(Object.entries(IMPLEMENTATIONS))('%s', (_, make) => {
  const view = make()
  const at = (path: string, follow = false) => view.resolve(path, { follow }) as TreeNode
  const names = (node: TreeNode) => view.children(node).map(({ name }) => name.toString('latin1'))

  test('children are sorted by bytes, names are bytes, what is hidden is not there', () => {
    expect(names(view.root)).toEqual(['absolute', 'changed', 'd', 'dangling', 'empty', 'fifo', 'loop', 'n\xe9', 'old'])
    expect(names(at('d'))).toEqual(['f', 'sub', 'sub.txt', 'twin', 'up'])
    expect(names(at('old'))).toEqual([])
    expect(view.root.path.length).toBe(0)
  })

  test('child is one name, not followed, as bytes or latin1', () => {
    expect(view.child(view.root, 'absolute')?.type).toBe('symlink')
    expect(text(view.child(view.root, Buffer.from('n\xe9', 'latin1')))).toBe('n\xe9')
    expect(view.child(view.root, 'gone')).toBeUndefined()
    expect(view.child(at('old'), 'hidden')).toBeUndefined()
  })

  test('resolve stays in the root: absolute links start there, `..` stops there', () => {
    expect(text(at('absolute', true))).toBe('d/f')
    expect(text(at('absolute'))).toBe('absolute')
    expect(text(at('d/up/up/sub', true))).toBe('d/sub')
    expect(text(at('../../d/./f'))).toBe('d/f')
    expect(at('dangling', true)).toBeUndefined()
    expect(at('changed/below')).toBeUndefined()
    expect(() => at('loop', true)).toThrow(expect.objectContaining({ code: 'ELOOP' }))
  })

  test('stat, content and attributes come from the top', () => {
    expect(at('changed').stat.mode & 0o7777).toBe(0o4711)
    expect(content(view, at('changed'))).toBe('late\n')
    expect(at('old').stat.mode & 0o7777).toBe(0o750)
    expect(Object.fromEntries([...view.xattrs(at('d/f'))].map(([name, value]) => [name, value.toString()]))).toEqual({ 'user.tag': '1' })
    expect(view.xattrs(at('old')).size).toBe(0)
    expect(view.readlink(at('dangling')).toString()).toBe('nowhere')
  })

  test('stats of listed children are those of the files', () => {
    for (const node of view.children(at('d'))) expect([text(node), node.stat]).toEqual([text(node), at(text(node) as string).stat])
  })

  test('names of one inode have the same key', () => {
    expect(view.inode(at('d/f'))).toBe(view.inode(at('d/twin')))
    expect(view.inode(at('d/f'))).not.toBe(view.inode(at('d/sub.txt')))
  })

  test('open gives regular files only, and does not wait for a fifo', () => {
    expect(() => view.open(at('fifo'))).toThrow(expect.objectContaining({ code: 'NOT_A_FILE' }))
    expect(() => view.open(at('absolute'))).toThrow()
  })

  test('a listing is that of the directory on disk', () => {
    const listed = view.children(at('d')).map((node) => view.listing?.(node))
    for (const [index, node] of view.children(at('d')).entries()) {
      const fd = listed[index]?.fd()
      if (fd !== undefined) expect(sys().statat(fd, node.name).ino).toBe(node.stat.ino)
    }
  })

  test('a node of another view is refused', () => {
    expect(() => view.children(directoryView(folder()).resolve('/') as TreeNode)).toThrow(TypeError)
  })
})
