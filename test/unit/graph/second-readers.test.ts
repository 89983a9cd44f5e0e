import fc from 'fast-check'
import { isTbuildError } from '../../../src/base/errors.ts'
import type { Span } from '../../../src/base/span.ts'
import { linesOf } from '../../../src/dockerfile/lint/linter.ts'
import { parseStages } from '../../../src/dockerfile/stages.ts'
import { outline } from '../../../src/graph/outline.ts'
import { lowerOptions } from '../../support/lower-options.ts'

/** Rules of the stage graph read a second time, from a model of the file and not from its text, and compared on random files. */

const NAMES = ['A', 'B', 'C'] as const

interface ModelStage {
  /** A stage before this one, undefined is scratch. */
  readonly base: number | undefined
  readonly args: readonly string[]
  /** Stages that it copies from, in order. */
  readonly sources: readonly number[]
}

interface Model {
  /** Global ARGs; a value may use an earlier one. */
  readonly globals: readonly string[]
  /** Used in the FROM of a stage from scratch. */
  readonly used: readonly (string | undefined)[]
  readonly stages: readonly ModelStage[]
}

const modelOf = (isBackward: boolean): fc.Arbitrary<Model> =>
  fc.integer({ min: 1, max: 5 }).chain((count) => {
    const stage = (index: number) =>
      fc.record({
        base: index === 0 ? fc.constant(undefined) : fc.option(fc.integer({ min: 0, max: index - 1 }), { nil: undefined }),
        args: fc.array(fc.constantFrom(...NAMES), { maxLength: 3 }),
        sources: fc.array(isBackward ? fc.integer({ min: 0, max: Math.max(index - 1, 0) }) : fc.integer({ min: 0, max: count - 1 }), {
          maxLength: isBackward && index === 0 ? 0 : 2,
        }),
      })
    return fc.record({
      globals: fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 3 }),
      used: fc.array(fc.option(fc.constantFrom(...NAMES), { nil: undefined }), { minLength: count, maxLength: count }),
      stages: fc.tuple(...Array.from({ length: count }, (_, index) => stage(index))),
    })
  })

/** The text, and the line of each ARG and COPY. */
function write({ globals, used, stages }: Model) {
  const lines: string[] = globals.map((name) => `ARG ${name}=`)
  const args = stages.map(() => new Map<string, number>())
  const copies = stages.map(() => new Map<number, number>())
  for (const [index, { base, args: names, sources }] of stages.entries()) {
    const variable = used[index] === undefined ? '' : `\${${used[index]}:+}`
    lines.push(`FROM ${base === undefined ? `scratch${variable}` : `s${base}`} AS s${index}`)
    for (const name of names) args[index]?.set(name, lines.push(`ARG ${name}=${lines.length}`))
    for (const source of sources) copies[index]?.set(source, lines.push(`COPY --from=s${source} x y`))
  }
  return { text: `${lines.join('\n')}\n`, args, copies }
}

/** Each name once: of the stage itself, of those that it is FROM, of those that it takes from. */
function argsByRule(model: Model, lines: ReturnType<typeof write>): Map<string, number> {
  const found = new Map<string, number>()
  const visit = (index: number) => {
    const { base, sources } = model.stages[index] as ModelStage
    const own = lines.args[index] as Map<string, number>
    const used = new Set(own.keys())
    // What the FROM lines on the way to the last base use is this stage's.
    for (let at: number | undefined = index; at !== undefined; at = model.stages[at]?.base) {
      const name = model.stages[at]?.base === undefined ? model.used[at] : undefined
      if (name !== undefined) used.add(name)
    }
    for (const name of used) {
      const line = own.get(name) ?? (model.globals.includes(name) ? model.globals.indexOf(name) + 1 : undefined)
      if (line !== undefined && !found.has(name)) found.set(name, line)
    }
    if (base !== undefined) visit(base)
    for (const source of new Set(sources)) visit(source)
  }
  visit(model.stages.length - 1)
  return found
}

test('the names of an outline and where they are listed', async () => {
  await fc.assert(
    fc.asyncProperty(modelOf(true), async (model) => {
      const lines = write(model)
      const { args } = await outline(parseStages({ name: 'Dockerfile', text: lines.text }), lowerOptions())
      const got = new Map(args.map(({ name, span }) => [name, span.start.line]))
      expect([...got].sort()).toEqual([...argsByRule(model, lines)].sort())
    }),
    { numRuns: 200 },
  )
})

/** Whether stages take from each other in a circle: one that can be reached from itself. */
function hasCircle({ stages }: Model): boolean {
  const reach = stages.map(({ sources }) => new Set(sources))
  for (const _ of stages) for (const set of reach) for (const at of [...set]) for (const next of reach[at] as Set<number>) set.add(next)
  return reach.some((set, index) => set.has(index))
}

test('G11 a circle is refused, its places are a path that ends in itself', async () => {
  await fc.assert(
    fc.asyncProperty(modelOf(false), async (model) => {
      const lines = write(model)
      let refused: unknown
      try {
        await outline(parseStages({ name: 'Dockerfile', text: lines.text }), lowerOptions())
      } catch (error) {
        refused = error
      }
      const isCircle = isTbuildError(refused) && refused.code === 'STAGE_CYCLE'
      expect(isCircle).toBe(hasCircle(model))
      if (!isTbuildError(refused) || !isCircle) return
      expect(refused.within).toBeDefined()
      const start = Number(/s(\d+)$/.exec(refused.message)?.[1])
      const path = [...refused.others, refused.within as Span].map((span) => linesOf(span).first)
      let at = start
      const visited = [start]
      for (const line of path) {
        const link = [...(lines.copies[at] as Map<number, number>)].find(([, place]) => place === line)
        expect(link).toBeDefined()
        at = link?.[0] as number
        visited.push(at)
      }
      expect(visited.indexOf(at)).toBeLessThan(visited.length - 1)
    }),
    { numRuns: 200 },
  )
})
