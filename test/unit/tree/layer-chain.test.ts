import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import { sys } from '../../../src/base/sys.ts'
import { AT_FDCWD, S_IFCHR } from '../../../src/base/sys-constants.ts'
import { LayerChain } from '../../../src/tree/layer-chain.ts'
import { readFileInRoot } from '../../../src/tree/read.ts'
import type { TreeNode, TreeView } from '../../../src/tree/types.ts'
import { layeredView } from '../../../src/tree/view.ts'
import { temporary } from './folders.ts'

const { folder, shell } = temporary()
const layer = (script: string): string => {
  const path = folder('layer')
  shell(script, path)
  return path
}
const passwd = (layers: readonly string[]) => readFileInRoot(layeredView(layers), '/etc/passwd')?.toString()

afterEach(() => {
  jest.restoreAllMocks()
  LayerChain.forgetAll()
})

describe('what a chain of steps looks for in the layers below each', () => {
  /** System calls that the last of so many steps makes for passwd, each of which left a layer. */
  function calls(steps: number): number {
    const spies = (['openat', 'lookupat', 'getxattrat'] as const).map((name) => jest.spyOn(sys(), name))
    const layers = [layer('mkdir etc; echo root > etc/passwd')]
    let before = 0
    for (let step = 0; step < steps; step += 1) {
      layers.push(layer(`echo ${step} > file`))
      before = spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0)
      expect(passwd(layers)).toBe('root\n')
    }
    const all = spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0)
    jest.restoreAllMocks()
    return all - before
  }

  test('is asked of the new layer alone, however many there are', () => {
    const [few, many] = [calls(5), calls(40)]
    expect(few).toBeGreaterThan(3)
    expect(many).toBe(few)
  })

  test('is the same as without what is remembered', () => {
    const base = layer('mkdir -p etc usr/etc; echo base > etc/passwd; echo other > usr/etc/passwd')
    const cases: [string[], string | undefined][] = [
      [[base], 'base\n'],
      [[base, layer('mkdir etc; echo new > etc/passwd')], 'new\n'],
      [[base, layer('mkdir etc; echo x > etc/x')], 'base\n'],
      [[base, layer('mknod etc c 0 0')], undefined],
      [[base, layer('setfattr -n trusted.overlay.opaque -v y .; touch file')], undefined],
      [[base, layer('ln -s usr/etc etc')], 'other\n'],
      [[base, layer('ln -s usr/etc etc'), layer('mkdir -p usr/etc; echo changed > usr/etc/passwd')], 'changed\n'],
    ]
    for (const round of [1, 2, 3]) {
      const found = cases.map(([layers]) => passwd([...layers, ...(round === 3 ? [layer('touch above')] : [])]))
      expect(found).toEqual(cases.map(([, content]) => content))
    }
  })
})

describe('a chain of many layers', () => {
  type Shape = 'file' | 'whiteout' | { opaque: boolean; below: Layer }
  type Layer = { [name: string]: Shape }
  type Shown = string | { [name: string]: Shown } | undefined
  const NAMES = ['a', 'b', 'c']

  const below = (depth: number): fc.Arbitrary<Layer> =>
    fc.dictionary(fc.constantFrom(...NAMES), shape(depth), { noNullPrototype: true, maxKeys: 3 })
  const shape = (depth: number): fc.Arbitrary<Shape> => {
    const directory = fc.record({ opaque: fc.boolean(), below: depth === 0 ? fc.constant({}) : below(depth - 1) })
    return fc.oneof({ weight: 1, arbitrary: fc.constantFrom<Shape>('file', 'whiteout') }, { weight: 4, arbitrary: directory })
  }

  function write(path: string, layer: Layer, text: string): void {
    for (const [name, each] of Object.entries(layer)) {
      const at = join(path, name)
      if (each === 'file') writeFileSync(at, text)
      else if (each === 'whiteout') sys().mknodat(AT_FDCWD, at, S_IFCHR, 0, 0)
      else {
        mkdirSync(at)
        if (each.opaque) sys().setxattrat(AT_FDCWD, at, 'trusted.overlay.opaque', Buffer.from('y'))
        write(at, each.below, text)
      }
    }
  }

  /** What the rules of overlayfs make of a layer over what is shown below it. */
  function over(lower: Shown, layer: Shape, text: string): Shown {
    if (layer === 'file') return text
    if (layer === 'whiteout') return undefined
    const merged = typeof lower === 'object' && !layer.opaque ? { ...lower } : {}
    for (const [name, each] of Object.entries(layer.below)) merged[name] = over(merged[name], each, text)
    return merged
  }

  /** By asking for each name. */
  function asked(view: TreeView, node: TreeNode | undefined): Shown {
    if (node === undefined) return undefined
    if (node.type === 'file') return readFileInRoot(view, node.path)?.toString()
    return Object.fromEntries(NAMES.map((name) => [name, asked(view, view.child(node, name))]))
  }

  test('shows what the rules of overlayfs say, from any layer, in any order', () => {
    const layers = fc.array(below(2), { minLength: 2, maxLength: 16 })
    const run = (made: Layer[], heights: readonly number[]) => {
      const paths = made.map((each, index) => {
        const path = folder('layer')
        write(path, each, `${index}`)
        return path
      })
      for (const wanted of heights) {
        const height = 1 + (wanted % paths.length)
        const root = made
          .slice(0, height)
          .reduce<Shown>((lower, each, index) => over(lower, { opaque: false, below: each }, `${index}`), {})
        const view = layeredView(paths.slice(0, height))
        expect(asked(view, view.root)).toEqual(root)
      }
    }
    fc.assert(fc.property(layers, fc.array(fc.nat(), { minLength: 1, maxLength: 6 }), run), { numRuns: 40 })
  })

  test('lists a directory once a layer, however many steps look into it', () => {
    const listed = jest.spyOn(sys(), 'readdir')
    const opened = jest.spyOn(sys(), 'openat')
    const layers: string[] = []
    for (let step = 0; step < 120; step += 1) {
      const path = folder('layer')
      write(path, { app: { opaque: false, below: { [step]: 'file' } }, [`f${step}`]: 'file' }, '')
      layers.push(path)
      expect(layeredView(layers).resolve(`app/${step + 1}`)).toBeUndefined()
    }
    // The root and app; while few layers have app, each of them is asked.
    expect(listed.mock.calls.length).toBeLessThan(2 * 120 + 10)
    expect(opened.mock.calls.length).toBeLessThan(5 * 120)
  })

  test('is the one that it stands on when that has another branch', () => {
    const base = Array.from({ length: 12 }, (_, index) => layer(`mkdir d; echo ${index} > d/${index}`))
    const [left, right] = [layer('mkdir d; echo left > d/0'), layer('mkdir d; echo right > d/0; mknod d/1 c 0 0')]
    const first = (layers: readonly string[]) => readFileInRoot(layeredView(layers), 'd/0')?.toString()
    expect(first(base)).toBe('0\n')
    expect(first([...base, left])).toBe('left\n')
    expect(first([...base, right])).toBe('right\n')
    expect(first([...base, left])).toBe('left\n')
    expect(layeredView([...base, left]).resolve('d/1')).toBeDefined()
    expect(layeredView([...base, right]).resolve('d/1')).toBeUndefined()
    expect(first(base)).toBe('0\n')
  })
})
