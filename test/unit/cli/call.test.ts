import { lineExcerpt, location } from '../../../src/cli/location.ts'
import { metadataWarnings } from '../../../src/cli/metadata-warnings.ts'
import { call } from '../../../src/cli/options/call.ts'
import { alignTabs } from '../../../src/cli/table.ts'

describe('--call', () => {
  test.each([
    [{}, { method: 'build', json: false, ignoreStatus: false }],
    [{ check: true }, { method: 'check', json: false, ignoreStatus: false }],
    [{ call: 'lint' }, { method: 'check', json: false, ignoreStatus: false }],
    [{ call: 'outline,format=json' }, { method: 'outline', json: true, ignoreStatus: false }],
    [{ call: 'format=json,targets' }, { method: 'targets', json: true, ignoreStatus: false }],
    [
      { call: 'check,ignorestatus=T', check: true },
      { method: 'check', json: false, ignoreStatus: true },
    ],
    [{ call: 'build' }, { method: 'build', json: false, ignoreStatus: false }],
  ])('%j', (flags, expected) => expect(call(flags)).toEqual(expected))

  test.each([
    [{ call: 'foo' }, '--call=foo is not known'],
    [{ call: 'check,outline' }, 'invalid value of --call: check,outline'],
    [{ call: 'check,format=yaml' }, '--call: format yaml is not known'],
    [{ call: 'check,x=1' }, '--call: invalid field x=1'],
    [{ call: 'check,ignorestatus=x' }, '--call: ignorestatus=x is not true or false'],
    [{ call: 'outline', check: true }, '--check and --call ask for different things'],
  ])('%j is refused', (flags, message) => expect(() => call(flags)).toThrow(message))
})

const file = { name: 'Dockerfile', text: 'FROM a\nRUN x\\\r\n  y\nLABEL a\n\u001b[2J\n' }
const lines = (first: number, last: number) => ({ file, start: { line: first, column: 1 }, end: { line: last, column: 3 } })

describe('places', () => {
  test('a range a line', () => {
    expect(location(lines(2, 3))).toEqual({
      ranges: [
        { start: { line: 2 }, end: { line: 2 } },
        { start: { line: 3 }, end: { line: 3 } },
      ],
    })
    expect(location(undefined)).toEqual({})
  })
  test('two lines around one line', () => {
    expect(lineExcerpt(lines(2, 2))).toBe(
      'Dockerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> RUN x\\\n   3 |       y\n   4 |     LABEL a\n--------------------\n',
    )
  })
  test('one around several; control characters are shown', () => {
    expect(lineExcerpt(lines(2, 4))).toBe(
      'Dockerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> RUN x\\\n   3 | >>>   y\n   4 | >>> LABEL a\n   5 |     \\x1b[2J\n--------------------\n',
    )
  })
})

test('columns like those of Go', () => {
  const rows = [
    ['TARGET', 'DESCRIPTION'],
    ['é', ''],
  ]
  expect(alignTabs(rows, 1)).toBe('TARGET DESCRIPTION\né      \n')
})

describe('BUILDX_METADATA_WARNINGS', () => {
  const warning = { type: 'warning', rule: 'UndefinedVar', message: 'm', detail: 'd', url: 'https://x/', span: lines(2, 3) } as const
  test('puts what the checks found into the metadata', () => {
    const text = (value: string) => Buffer.from(value).toString('base64')
    expect(
      metadataWarnings([warning, { type: 'warning', rule: 'IgnoredOption', message: 'x' }], { BUILDX_METADATA_WARNINGS: '1' }),
    ).toEqual({
      'buildx.build.warnings': [
        {
          level: 1,
          short: text('UndefinedVar: m (line 2)'),
          detail: [text('d')],
          url: 'https://x/',
          sourceInfo: { filename: 'Dockerfile', data: text(file.text), language: 'Dockerfile' },
          range: [
            { start: { line: 2 }, end: { line: 2 } },
            { start: { line: 3 }, end: { line: 3 } },
          ],
        },
      ],
    })
  })
  test('is not asked for', () => expect(metadataWarnings([warning], {})).toEqual({}))
})
