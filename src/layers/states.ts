import type { LayerId, LayerState } from '../store/types.ts'

/** Whether all files can be read at once. */
export function areDirectories(states: ReadonlyMap<LayerId, LayerState>): boolean {
  return [...states.values()].every((state) => state === 'directory')
}
