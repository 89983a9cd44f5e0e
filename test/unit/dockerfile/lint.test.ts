import { lint, violation } from '../../../src/dockerfile/lint/lint.ts'
import { ruleUrl } from '../../../src/dockerfile/lint/rules.ts'
import { parseStages } from '../../../src/dockerfile/stages.ts'

const findings = (text: string) =>
  lint(parseStages({ name: 'Dockerfile', text })).map(({ rule, message, span }) => `${span.start.line} ${rule}: ${message}`)

const json = (kind: string) => `JSON arguments recommended for ${kind} to prevent unintended behavior related to OS signals`

// Texts as `docker buildx build --check` of Docker 28.5 prints them; TOKEN_FILE and comments above instructions follow BuildKit 0.32.
describe('checks', () => {
  test.each([
    ['FROM scratch AS Base', "1 StageNameCasing: Stage name 'Base' should be lowercase"],
    ['FROM scratch as b', "1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"],
    ['from scratch AS b', "1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"],
    ['From scratch As b', "1 ConsistentInstructionCasing: Command 'From' should match the case of the command majority (uppercase)"],
    ['FROM scratch\nRUN a \\\n\n b', '4 NoEmptyContinuation: Empty continuation line'],
    [
      'FROM scratch\nrun a\nRUN b',
      "2 ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase)",
    ],
    [
      'from scratch\nrun a\nRUN b',
      "3 ConsistentInstructionCasing: Command 'RUN' should match the case of the command majority (lowercase)",
    ],
    ['FROM scratch AS a\nFROM scratch AS a', '2 DuplicateStageName: Duplicate stage name "a", stage names should be unique'],
    ['FROM scratch AS context', '1 ReservedStageName: Stage name should not use the same name as reserved stage "context"'],
    ['FROM scratch\nCMD a', `2 JSONArgsRecommended: ${json('CMD')}`],
    ['FROM scratch\nENTRYPOINT a', `2 JSONArgsRecommended: ${json('ENTRYPOINT')}`],
    ['FROM scratch\nSHELL ["/bin/sh"]\nCMD a', ''],
    ['FROM scratch AS a\nSHELL ["/bin/sh"]\nFROM a\nCMD a', ''],
    ['FROM scratch\nMAINTAINER a', '2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label'],
    ['FROM scratch\nWORKDIR a', '2 WorkdirRelativePath: Relative workdir "a" can have unexpected results if the base image changes'],
    ['FROM scratch\nWORKDIR /a\nWORKDIR b', ''],
    [
      'FROM scratch\nCMD ["a"]\nCMD ["b"]',
      '2 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used',
    ],
    ['FROM scratch\nENV a b', '2 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format'],
    [
      'FROM --platform=$TARGETPLATFORM scratch',
      '1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
    ],
    [
      'FROM --platform=linux/amd64 scratch',
      '1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64"',
    ],
    ['FROM --platform=linux/amd64 scratch AS x-amd64', ''],
    ['FROM --platform=$BUILDPLATFORM scratch', ''],
    ['ARG PASSWORD=x\nFROM scratch', '1 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "PASSWORD")'],
    [
      'FROM scratch\nENV API_KEY=y TOKEN_FILE=z MY_PUBLIC_KEY=a SecretThing=1',
      '2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "API_KEY")',
    ],
    ['FROM scratch\nEXPOSE 80/TCP', "2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase"],
    [
      'FROM scratch\nEXPOSE 80:80',
      "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '80:80'",
    ],
    [
      '# check=experimental=all\n# hello\nARG a=b\nFROM scratch',
      '3 InvalidDefinitionDescription: Comment for ARG should follow the format: `# a <description>`',
    ],
    ['# check=experimental=all\n# x a stage\nFROM scratch AS x', ''],
    ['# hello\nFROM scratch AS x', ''],
  ])('%j', (text, expected) => {
    expect(findings(text).join('\n')).toBe(expected)
  })
})

describe('what is switched off', () => {
  test('skip=all', () => expect(findings('# check=skip=all\nFROM scratch AS A\nCMD x')).toEqual([]))
  test('by name', () => {
    expect(findings('# check=skip=StageNameCasing, JSONArgsRecommended;error=true\nFROM scratch AS A\nCMD x\nMAINTAINER x')).toHaveLength(1)
  })
  test('for one instruction', () => {
    expect(findings('FROM scratch\n# check=skip=MultipleInstructionsDisallowed\nCMD ["x"]\nCMD x')).toEqual([
      `4 JSONArgsRecommended: ${json('CMD')}`,
    ])
  })
  test('an option that is none', () => {
    expect(() => findings('# check=foo=x\nFROM scratch')).toThrow('failed to parse check options: invalid check option "foo"')
  })
})

test('E4 the error names each rule once', () => {
  const found = lint(parseStages({ name: 'Dockerfile', text: 'FROM scratch AS A\nCMD a\nFROM scratch AS B' }))
  expect(violation(found)).toBe('lint violation found for rules: StageNameCasing, JSONArgsRecommended')
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
