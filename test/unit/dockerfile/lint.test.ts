import { isEnabled, parseCheckConfig, withComments } from '../../../src/dockerfile/lint/config.ts'
import { Linter, linesOf } from '../../../src/dockerfile/lint/linter.ts'
import { EXPERIMENTAL, RULES, type RuleName, ruleUrl } from '../../../src/dockerfile/lint/rules.ts'
import { loadLintFiles } from '../../support/lint-cases.ts'

const file = { name: 'Dockerfile', text: 'FROM scratch\n' }
const span = { file, start: { line: 1, column: 1 }, end: { line: 1, column: 13 } }
const place = (...comments: string[]) => ({ span, comments })

test('there are 22 rules, and each has a case in the corpus', () => {
  const named = new Set<string>()
  for (const { cases } of loadLintFiles('test/corpus/lint')) {
    for (const { expected } of cases) for (const line of expected) named.add(/^[\d-]+ (\w+):/.exec(line)?.[1] ?? '')
  }
  const rules = Object.keys(RULES)
  expect(rules).toHaveLength(22)
  expect(rules.filter((rule) => !named.has(rule))).toEqual([])
})

describe('configuration', () => {
  test('nothing is skipped without one', () => expect(isEnabled(parseCheckConfig(), 'UndefinedVar')).toBe(true))
  test('an experimental rule is off until it is asked for', () => {
    const [rule] = EXPERIMENTAL as ReadonlySet<RuleName> & Iterable<RuleName>
    expect(isEnabled(parseCheckConfig('skip=x'), rule as RuleName)).toBe(false)
    expect(isEnabled(parseCheckConfig(`experimental=${rule}`), rule as RuleName)).toBe(true)
    expect(isEnabled(parseCheckConfig('skip=all;experimental=all'), rule as RuleName)).toBe(true)
  })
  test.each([
    [['check=skip=StageNameCasing'], false],
    [['text', 'check = skip=all // why'], false],
    [['CHECK=skip=StageNameCasing'], false],
    [['check=skip=Other'], true],
    // Only the first counts.
    [['check=skip=Other', 'check=skip=StageNameCasing'], true],
    [['check=skip=all;nonsense'], true],
    [['unchecked=skip=all'], true],
  ])('comments %j', (comments, expected) => {
    expect(isEnabled(withComments(parseCheckConfig(), comments), 'StageNameCasing')).toBe(expected)
  })
})

describe('findings', () => {
  test('are in order of phase, then of the stages, however they came', () => {
    const linter = new Linter()
    const second = linter.stage(1)
    const first = linter.stage(0)
    second('UndefinedVar', place(), 'd')
    first('UndefinedVar', place(), 'c')
    linter.images('InvalidBaseImagePlatform', place(), 'b')
    linter.text('FromAsCasing', place(), 'a')
    expect(linter.findings().map(({ message }) => message)).toEqual(['a', 'b', 'c', 'd'])
  })
  test('E4 the error names each rule once', () => {
    const linter = new Linter('error=true')
    expect(linter.violation).toBeUndefined()
    linter.text('FromAsCasing', place(), 'a')
    linter.text('UndefinedVar', place(), 'b')
    linter.text('FromAsCasing', place(), 'c')
    expect(linter.violation).toMatchObject({
      code: 'CHECK_FAILED',
      message: 'lint violation found for rules: FromAsCasing, UndefinedVar',
    })
  })
  test('are none of the linter that is off', () => {
    for (const rule of Object.keys(RULES) as RuleName[]) Linter.off.text(rule, place('check=experimental=x'), 'a')
    expect(Linter.off.findings()).toEqual([])
  })
  test('a span that ends at the beginning of a line does not touch it', () => {
    expect(linesOf({ file, start: { line: 2, column: 1 }, end: { line: 4, column: 1 } })).toEqual({ first: 2, last: 3 })
  })
})

test.each([
  ['JSONArgsRecommended', 'json-args-recommended'],
  ['FromAsCasing', 'from-as-casing'],
  ['UndefinedVar', 'undefined-var'],
  ['SecretsUsedInArgOrEnv', 'secrets-used-in-arg-or-env'],
  ['CopyIgnoredFile', 'copy-ignored-file'],
] as const)('the page of %s', (rule, slug) => {
  expect(ruleUrl(rule)).toBe(`https://docs.docker.com/go/dockerfile/rule/${slug}/`)
})
test('the rule without a page', () => expect(ruleUrl('InvalidBaseImagePlatform')).toBeUndefined())
