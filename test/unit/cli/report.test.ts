import { describe, expect, test } from '@jest/globals'
import { TbuildError } from '../../../src/base/errors.ts'
import type { Span } from '../../../src/base/span.ts'
import { errorReport, reportError } from '../../../src/cli/report.ts'

const DOCKERFILE = 'FROM busybox\nARG X=1\n\tRUN exit 7\nCOPY a \\\n  b /d/\nCMD x\n'

function span(start: [number, number], end: [number, number], text = DOCKERFILE): Span {
  return { file: { name: 'Dockerfile', text }, start: { line: start[0], column: start[1] }, end: { line: end[0], column: end[1] } }
}

describe('report of an error', () => {
  test('E1 one line: excerpt, caret under the span, last output, hint and code', () => {
    const error = new TbuildError('RUN_FAILED', 'process "/bin/sh -c exit 7" did not complete successfully: exit code: 7', {
      span: span([3, 2], [3, 12]),
      hint: 'look at the output',
      output: ['one', 'two\u001b[31m red\u001b[0m'],
      exitCode: 7,
    })
    expect(errorReport(error)).toBe(
      [
        'ERROR: process "/bin/sh -c exit 7" did not complete successfully: exit code: 7',
        '',
        'Dockerfile:3:2',
        '   1 |     FROM busybox',
        '   2 |     ARG X=1',
        '   3 | >>> \tRUN exit 7',
        '     |     \t^^^^^^^^^^',
        '   4 |     COPY a \\',
        '   5 |       b /d/',
        '',
        'last output of the step:',
        '  | one',
        '  | two red',
        '',
        'hint: look at the output',
        'code: RUN_FAILED',
        '',
      ].join('\n'),
    )
  })

  test('E5 several lines are all marked, without a caret', () => {
    const error = new TbuildError('COPY_SOURCE_NOT_FOUND', 'no such file: a', { span: span([4, 1], [5, 8]) })
    expect(errorReport(error)).toBe(
      [
        'ERROR: no such file: a',
        '',
        'Dockerfile:4:1',
        '   2 |     ARG X=1',
        '   3 |     \tRUN exit 7',
        '   4 | >>> COPY a \\',
        '   5 | >>>   b /d/',
        '   6 |     CMD x',
        '',
        'code: COPY_SOURCE_NOT_FOUND',
        '',
      ].join('\n'),
    )
  })

  test('a word is marked by itself; an empty span gets one caret', () => {
    expect(errorReport(new TbuildError('X', 'm', { span: span([2, 5], [2, 8]) }))).toContain('   2 | >>> ARG X=1\n     |         ^^^\n')
    expect(errorReport(new TbuildError('X', 'm', { span: span([2, 5], [2, 5]) }))).toContain('     |         ^\n')
  })

  test('control characters and direction overrides of a Dockerfile are shown, not obeyed', () => {
    const text = 'FROM a\u001b]0;title\u0007\u202eb\n'
    const report = errorReport(new TbuildError('X', 'bad \u001b[2Jname', { span: span([1, 6], [1, 8], text) }))
    expect(report).toBe(
      'ERROR: bad \\x1b[2Jname\n\nDockerfile:1:6\n   1 | >>> FROM a\\x1b]0;title\\x07\\u202eb\n     |          ^^^^^\n\ncode: X\n',
    )
  })

  test('wide characters before the span move the caret by their width', () => {
    expect(errorReport(new TbuildError('X', 'm', { span: span([1, 4], [1, 5], '日本 x\n') }))).toContain('     |          ^\n')
  })

  test('a long heredoc is not printed whole', () => {
    const text = `RUN <<EOF\n${'echo\n'.repeat(100)}EOF\n`
    const report = errorReport(new TbuildError('X', 'm', { span: span([1, 1], [102, 4], text) }))
    expect(report.split('\n').length).toBeLessThan(30)
    expect(report).toContain(' 102 | >>> EOF')
  })
})

describe('exit status and streams', () => {
  const report = (error: unknown, env: NodeJS.ProcessEnv = {}) => {
    let text = ''
    const write = (part: string) => {
      text += part
    }
    const status = reportError(error, { env, stderr: { write } })
    return { status, text }
  }

  test("a failing RUN's own code is the exit status", () => {
    expect(report(new TbuildError('RUN_FAILED', 'x', { exitCode: 42 })).status).toBe(42)
  })

  test('a bug is short without TBUILD_DEBUG, and has its stack with it', () => {
    const bug = new TypeError('x is undefined')
    expect(report(bug)).toEqual({
      status: 1,
      text: 'ERROR: internal error: x is undefined\n\nhint: this is a bug of tbuild; TBUILD_DEBUG=1 shows where it happened\ncode: BUG\n',
    })
    expect(report(bug, { TBUILD_DEBUG: '1' }).text).toMatch(/\n {4}at /)
  })

  test('thrown values that are no errors are reported too', () => {
    expect(report(undefined).status).toBe(1)
    expect(report('text').text).toContain('internal error: text')
  })
})
