import { bigRun, largeFiles, layers } from './bytes.ts'
import { cached } from './cached.ts'
import { copy } from './copy.ts'
import type { Load } from './load.ts'
import { runs } from './runs.ts'
import { busyStages, stages, waitingStages } from './stages.ts'

/** In the order in which they are measured and shown. */
export const LOADS: readonly Load[] = [cached, runs, copy, bigRun, layers, largeFiles, busyStages, waitingStages, stages]
