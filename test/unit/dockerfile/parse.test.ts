import { jest } from '@jest/globals'
import fc from 'fast-check'
import nearley from 'nearley'
import { isTbuildError } from '../../../src/base/errors.ts'
import type { Instruction } from '../../../src/dockerfile/instruction.ts'
import { parseDockerfile, parseTrigger } from '../../../src/dockerfile/parse.ts'
import { parseStages } from '../../../src/dockerfile/stages.ts'
import { cost } from '../../support/cost.ts'

const file = (text: string) => ({ name: 'Dockerfile', text })

function refusal(parse: () => unknown): unknown {
  try {
    parse()
  } catch (error) {
    return error
  }
  return undefined
}

/** Pieces that mean something to a part of the parser, so that random texts get past its first lines. */
const piece = fc.constantFrom(
  ...'FROM RUN COPY ADD ENV LABEL ARG CMD ENTRYPOINT SHELL HEALTHCHECK NONE ONBUILD EXPOSE VOLUME USER WORKDIR STOPSIGNAL MAINTAINER from AS x a=b'.split(
    ' ',
  ),
  ...[
    '--from=x',
    '--mount=type=cache,target=/x',
    '--',
    '--x',
    '<<EOF',
    '<<-"A B"',
    'EOF',
    '${',
    '}',
    '$x',
    '["a"]',
    '[',
    ']',
    '"',
    "'",
    ',',
  ],
  ...[
    '\\',
    '`',
    '#',
    '# escape=`',
    '\n',
    '\n',
    '\r\n',
    '\t',
    ' ',
    ' ',
    '=',
    '\u0000',
    '\ufeff',
    '\ud800',
    '\u00a0',
    '\u2028',
    '\\\n',
    '1',
    '-1s',
  ],
)
const dockerfiles = fc.oneof(
  fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join('')),
  fc.array(piece, { maxLength: 60 }).map((pieces) => `FROM scratch\n${pieces.join(' ')}`),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => new TextDecoder().decode(bytes)),
)

test('any text parses or gives a located error', () => {
  fc.assert(
    fc.property(dockerfiles, (text) => {
      const error = refusal(() => parseStages(file(text)))
      if (error === undefined) return
      if (!isTbuildError(error)) throw error
      expect(error.code).toBe('DOCKERFILE_SYNTAX')
      const span = error.span
      if (span === undefined) throw new Error(`no place: ${error.message}`)
      const lines = text.split('\n')
      expect(span.start.line).toBeGreaterThanOrEqual(1)
      expect(span.end.line).toBeLessThanOrEqual(lines.length)
      expect(span.start.column).toBeLessThanOrEqual((lines[span.start.line - 1]?.length ?? 0) + 1)
    }),
    { numRuns: 1000 },
  )
})

test('the span of every word holds its text when it is on one line', () => {
  const word = fc.stringMatching(/^[a-z/.=$]{1,8}$/)
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 2, maxLength: 8 }),
      fc.array(fc.constantFrom(' ', '  ', ' \\\n ', '\t\\\n# c\n  '), { minLength: 8 }),
      (words, gaps) => {
        const text = `FROM scratch\nCOPY ${words.map((one, index) => one + (gaps[index] ?? ' ')).join('')}`.trimEnd()
        const [, copy] = parseDockerfile(file(text)).instructions
        if (copy?.kind !== 'copy') throw new Error('no COPY')
        const found = [...copy.sources, copy.destination]
        expect(found.map(({ text }) => text)).toEqual(words)
        for (const { text: written, span } of found) {
          const line = text.split('\n')[span.start.line - 1] ?? ''
          expect(line.slice(span.start.column - 1, span.end.column - 1)).toBe(written)
        }
      },
    ),
  )
})

test('the grammar is asked once for each shape of a line, and every line keeps its own words', () => {
  const feed = jest.spyOn(nearley.Parser.prototype, 'feed')
  try {
    const shapes = (index: number) =>
      `COPY --chown=u${index} a${index} b${index} /${index}/\nENV "N${index}"=v${index} M='x y'\nHEALTHCHECK --retries=2 CMD ["c${index}"]\nONBUILD RUN --network=none r${index}\n`
    const { instructions } = parseDockerfile(file(`FROM scratch\n${Array.from({ length: 500 }, (_, index) => shapes(index)).join('')}`))
    expect(feed.mock.calls.length).toBeLessThanOrEqual(5)
    const alone = parseDockerfile(file(`FROM scratch\n${shapes(300)}`)).instructions
    const shown = (instruction: Instruction | undefined) =>
      JSON.stringify({ ...instruction, span: undefined }, (key, value) => (key === 'span' ? null : value))
    expect(instructions.slice(1201, 1205).map(shown)).toEqual(alone.slice(1).map(shown))
    expect(instructions[1201]).toMatchObject({
      sources: [{ text: 'a300' }, { text: 'b300' }],
      destination: { text: '/300/' },
      chown: { text: 'u300' },
    })
  } finally {
    feed.mockRestore()
  }
})

describe('cost is linear', () => {
  test('100,000 instructions', () => {
    const four = 'RUN --mount=type=cache,target=/x echo a\nENV A=b C="d e"\nCOPY a b /c/\nCMD ["a", "b"]\n'
    const parse = (n: number) => parseDockerfile(file(`FROM scratch\n${four.repeat(n / 4)}`)).instructions.length
    const small = cost(() => parse(10_000))
    // The bound is on the growth: quadratic would be 10 times as much.
    expect(cost(() => expect(parse(100_000)).toBe(100_001), 1)).toBeLessThan(small * 10 * 3)
  }, 60_000)

  test.each([
    ['words', (n: number) => `COPY ${'a \\\n'.repeat(n)} b`],
    ['pairs', (n: number) => `ENV ${'a=b \\\n'.repeat(n)} c=d`],
    ['an array', (n: number) => `CMD [${'"a", \\\n'.repeat(n)} "b"]`],
    ['flags', (n: number) => `COPY ${'--exclude=a \\\n'.repeat(n)} b c`],
    ['heredocs', (n: number) => `COPY ${'<<a '.repeat(n / 10)} /x\n${'a\n'.repeat(n / 10)}`],
    ['a quoted word', (n: number) => `ENV a="${'x\\"y \\\n'.repeat(n)}"`],
    ['blanks', (n: number) => `RUN x${`${' '.repeat(1000)}\\\n`.repeat(n / 100)}`],
  ])('one instruction of many %s', (_, text) => {
    const parse = (n: number, runs: number) => cost(() => parseDockerfile(file(`FROM scratch\n${text(n)}`)), runs)
    const small = Math.max(parse(5_000, 3), 10)
    // The least of several on both sides: a collection of garbage may fall into any one.
    expect(parse(40_000, 3)).toBeLessThan(small * 8 * 4)
  })
})

describe('triggers', () => {
  test('O6 exactly one instruction', () => {
    for (const text of ['RUN a\nRUN b', '', '# x']) {
      expect(refusal(() => parseTrigger(text))).toMatchObject({
        code: 'DOCKERFILE_SYNTAX',
        message: 'onbuild trigger should be a single expression',
      })
    }
  })

  test('O1 heredocs are part of it', () => {
    expect(parseTrigger('COPY <<EOF /x\na\nEOF')).toMatchObject({ kind: 'copy', heredocs: [{ name: 'EOF', content: 'a\n' }] })
  })

  test('errors have no line prefix and stand in the trigger', () => {
    const error = refusal(() => parseTrigger('COPY --xyz=x a b', 'ONBUILD of base'))
    expect(error).toMatchObject({
      message: 'unknown flag: --xyz',
      span: { file: { name: 'ONBUILD of base' }, start: { line: 1, column: 6 } },
    })
  })

  test('an expression that came from a Dockerfile parses to the same instruction', () => {
    const [, onbuild] = parseDockerfile(file('FROM scratch\nONBUILD RUN --network=none cat <<-A \\\n  <<B\n\tx\n\tA\ny\nB\n')).instructions
    if (onbuild?.kind !== 'onbuild') throw new Error('no ONBUILD')
    expect(parseTrigger(onbuild.expression)).toMatchObject({
      kind: 'run',
      network: { text: 'none' },
      heredocs: [{ content: 'x\n' }, { content: 'y\n' }],
    })
  })
})
