import { again } from './again.ts'
import { atOnce } from './at-once.ts'
import { bigRun, largeFiles, layers, manyLayers } from './bytes.ts'
import { cached } from './cached.ts'
import { copy } from './copy.ts'
import { explain } from './explain.ts'
import { instructions } from './instructions.ts'
import type { Load } from './load.ts'
import { pull } from './pull.ts'
import { runs } from './runs.ts'
import { samples } from './samples.ts'
import { busyStages, stages, waitingStages } from './stages.ts'
import { chown, copyFrom } from './trees.ts'

/** In the order in which they are measured and shown. */
export const LOADS: readonly Load[] = [
  ...[cached, runs, copy, copyFrom, chown, pull],
  ...[bigRun, layers, manyLayers, largeFiles, again],
  ...[busyStages, waitingStages, stages, atOnce, instructions, explain, samples],
]
