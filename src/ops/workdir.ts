import type { WorkdirOp } from '../graph/op.ts'
import { makeDirectories } from '../tree/directories.ts'
import { lookupOwner } from '../tree/owner.ts'
import { layeredView } from '../tree/view.ts'
import { layerWriter } from '../tree/writer.ts'
import { makeLayer, snapshotRef } from './layer.ts'
import { checkOwnerNames } from './owner-names.ts'
import type { LayerDeps, OpHandler } from './types.ts'

/** WORKDIR: all missing parents 0755, owned by the current user; directories that are there stay as they are (W2). */
export const workdirHandler: OpHandler<WorkdirOp, unknown, LayerDeps> = {
  async key(op) {
    return [
      { name: 'path', value: op.path },
      { name: 'user', value: op.user },
      ...(op.createdTime === undefined ? [] : [{ name: 'created', value: op.createdTime }]),
    ]
  },

  async run(op, { root }, deps, io) {
    const layers = await makeLayer(root, deps, io, async (active) => {
      checkOwnerNames(op.user, active)
      const writer = layerWriter(active.upper, layeredView(active.lower))
      // Without a USER nothing is changed: in a setgid directory it is that one's group.
      const owner = op.user === '' ? {} : lookupOwner(writer, op.user)
      const created = op.createdTime === undefined ? {} : { createdTime: op.createdTime }
      makeDirectories(writer, op.path, { ...owner, mode: 0o755, ...created })
      writer.finish()
    })
    return snapshotRef(layers)
  },
}
