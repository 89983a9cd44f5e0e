import { afterEach, describe, expect, jest, test } from '@jest/globals'
import { sys } from '../../../src/base/sys.ts'
import { LayerRoot } from '../../../src/tree/layer-roots.ts'
import { readFileInRoot } from '../../../src/tree/read.ts'
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
  LayerRoot.forgetAll()
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

test('only so many names that a layer has not are remembered, and the others are asked for', () => {
  const root = LayerRoot.at('/layers/one/fs')
  let looked = 0
  const look = (name: string) =>
    root.lookup(name, () => {
      looked += 1
      return undefined
    })
  for (const asked of [100, 36]) {
    looked = 0
    for (let index = 0; index < 100; index += 1) look(`${index}`)
    expect(looked).toBe(asked)
  }
})
