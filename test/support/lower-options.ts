import { Linter } from '../../src/dockerfile/lint/linter.ts'
import { parseTrigger } from '../../src/dockerfile/parse.ts'
import type { LowerOptions } from '../../src/graph/lower-types.ts'
import { parsePlatform } from '../../src/values/platform.ts'
import { processSettings } from '../../src/values/process-settings.ts'

type Part = 'platforms' | 'noCache' | 'run' | 'from' | 'checks'
type Given = Partial<Omit<LowerOptions, Part>> & { readonly [K in Part]?: Partial<LowerOptions[K]> }

const AMD64 = parsePlatform('linux/amd64')

/** A build for linux/amd64 on linux/amd64, in which no name is an image's or a context's, but for what is given. */
export function lowerOptions({ platforms, noCache, run, from, checks, ...given }: Given = {}): LowerOptions {
  return {
    target: undefined,
    labels: {},
    buildArgs: new Map(),
    naming: { idPrefix: undefined, identity: 'test' },
    times: { contextTime: async () => undefined, timeOf: async () => undefined },
    ...given,
    platforms: { target: AMD64, isTargetGiven: false, build: AMD64, ...platforms },
    noCache: { all: false, stages: [], ...noCache },
    run: { network: 'default', settings: processSettings({}), ...run },
    from: {
      resolveImage: (reference) => Promise.reject(new Error(`there is no image ${reference}`)),
      namedContext: () => undefined,
      parseTrigger,
      ...from,
    },
    checks: { linter: Linter.off, ignored: undefined, ignoreProblem: undefined, ...checks },
  }
}
