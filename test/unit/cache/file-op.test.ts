import { copyNode } from '../../../src/cache/buildkit/file-op.ts'
import { localNode } from '../../../src/cache/buildkit/node.ts'
import type { CopyOp } from '../../../src/graph/op.ts'

function keyOf(path: string): readonly string[] {
  const op: CopyOp = {
    ...{ kind: 'copy', destination: '/d/', link: false, parents: true, exclude: [] },
    sources: [{ kind: 'path', input: 0, path, unpack: false }],
  }
  return copyNode(op, null, [{ node: localNode('context') }]).records
}

test('F22 a pattern of --parents that selects nothing has another key than the one without its slashes', () => {
  expect(keyOf('/x/.///a')).not.toEqual(keyOf('/x/./a'))
  expect(keyOf('/x/./b/../a')).toEqual(keyOf('/x/./a'))
})
