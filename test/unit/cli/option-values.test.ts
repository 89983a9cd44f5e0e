import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import type { Option } from 'commander'
import { isTbuildError } from '../../../src/base/errors.ts'
import { explainCommand } from '../../../src/cli/commands/explain.ts'
import { historyCommand } from '../../../src/cli/commands/history.ts'
import { imagesCommand } from '../../../src/cli/commands/images.ts'
import { inspectCommand } from '../../../src/cli/commands/inspect.ts'
import { openIo } from '../../../src/cli/io.ts'
import { normalizeArguments } from '../../../src/cli/options/arguments.ts'
import { buildOptions } from '../../../src/cli/options/build.ts'
import { call } from '../../../src/cli/options/call.ts'
import { asUsage, type BuildCommandFlags, describeAll, ignoredOptions, program } from '../../../src/cli/program.ts'
import { progressMode } from '../../../src/cli/progress/display.ts'
import { storeHandlers } from '../../../src/cli/store-handlers.ts'
import { parseTags } from '../../../src/export/tag.ts'
import { handlers } from '../../support/handlers.ts'

/** Option → value → what it asks for, or a part of the refusal: the acceptance is that of buildx 0.29, where docs/options.md names no difference. */
const VALUES: Readonly<Record<string, Readonly<Record<string, object | string>>>> = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../corpus/option-values.json'), 'utf8'),
)

const IO = { isTTY: false, write: () => true }
const ENVIRONMENT = { SET: '1' }

/** What is asked for, as the commands read it. */
async function asked(command: 'build' | 'explain', args: readonly string[]): Promise<object> {
  let found: object = {}
  const read = async (context: string, flags: BuildCommandFlags) => {
    const { method, json, ignoreStatus } = call(flags)
    const progress = progressMode(flags.progress, flags.quiet ?? false, IO, ENVIRONMENT)
    if (command === 'build') parseTags(flags.tag)
    const { context: _, environment: __, ...options } = buildOptions(context, flags, ENVIRONMENT)
    found = {
      ...options,
      ...(method === 'build' ? {} : { call: { method, json, ignoreStatus } }),
      ...(progress === 'plain' ? {} : { progress }),
    }
    return 0
  }
  const reading = handlers({ build: read, explain: read })
  await program('1', reading, { done() {}, print() {} }).parseAsync(normalizeArguments([command, ...args, '.']), { from: 'user' })
  return JSON.parse(JSON.stringify(found))
}

async function outcome(command: 'build' | 'explain', args: readonly string[]): Promise<object | string> {
  try {
    return await asked(command, args)
  } catch (error) {
    const refusal = asUsage(error)
    if (!isTbuildError(refusal)) throw error
    return refusal.message
  }
}

describe.each(Object.entries(VALUES))('%s', (option, values) => {
  test.each(Object.entries(values))('=%s', async (value, expected) => {
    const got = await outcome('build', [`${option}=${value}`])
    if (typeof expected === 'string') expect(got).toEqual(expect.stringContaining(expected))
    else expect(got).toEqual(expected)
    // To `explain` it does not matter what an image is called, and it is itself the question.
    if (!['--tag', '--call', '--check'].includes(option)) expect(await outcome('explain', [`${option}=${value}`])).toEqual(got)
  })
})

test('an empty value asks for nothing, without a warning', () => {
  const quiet = ['--memory=', '--cpuset-cpus=', '--security-opt=', '--builder=']
  expect(ignoredOptions([...quiet, '--memory-swap', '', '-m', ''])).toEqual([])
  expect(ignoredOptions(['--memory=1g', '--builder', 'x'])).toHaveLength(2)
})

/** Of the other commands: the words in which a value is refused; nothing of them reaches a store. */
test.each([
  [['', '-t', 'a'], 'the context is empty'],
  [['explain', ''], 'the context is empty'],
  [['explain', '--format=', '.'], '--format "" is not known'],
  [['build', '--cache-mount-owner=', '.'], "argument '' is invalid"],
  [['images', '--format='], '--format "" is not supported'],
  [['images', '-q', '--format='], '--format "" is not supported'],
  [['inspect', '--format', '', 'a'], '--format "" is not supported'],
  [['history', '--format=', 'a'], '--format "" is not supported'],
  [['du', '--by='], 'invalid --by ""'],
  [['du', '--format='], '--format "" is not supported'],
  [['verify-store', '--format='], '--format "" is not supported'],
  [['prune', '--filter='], 'invalid filter ""'],
  [['prune', '--keep-storage='], 'invalid --keep-storage value ""'],
  [['prune', '--min-free='], 'invalid --min-free value ""'],
  [['cache', 'ls', '--format='], '--format "" is not supported'],
  [['cache', 'ls', '--id='], '--id needs a value'],
  [['cache', 'rm', '--id='], '--id needs a value'],
  [['cache', 'export', ''], 'no place to export cache mounts is named'],
  [['cache', 'import', ''], 'no place to import cache mounts is named'],
])('%j is refused', async (args, message) => {
  const io = openIo(process)
  const given = handlers({
    build: async (context, flags) => buildOptions(context, flags, ENVIRONMENT) && 0,
    explain: (context, flags) => explainCommand(context, flags, { io, args: [] }),
    images: (flags) => imagesCommand(flags, io),
    inspect: (image, flags) => inspectCommand(image, flags, io),
    history: (image, flags) => historyCommand(image, flags, io),
    ...storeHandlers(io, []),
  })
  const parsed = program('1', given, { done() {}, print() {} }).parseAsync(normalizeArguments(args), { from: 'user' })
  const refusal = asUsage(await parsed.then(() => undefined).catch((error: unknown) => error))
  expect(refusal).toMatchObject({ message: expect.stringContaining(message), exitCode: 2 })
})

test('every option of a build has its empty value here, by its long name', () => {
  const build = describeAll(program('', handlers(), { done() {}, print() {} })).commands.find((command) => command.name() === 'build')
  const own = ['--cache-mount-owner', '--dry-run', '--explain', '--fail-on-miss', '--no-normalize-modes', '--normalize-modes']
  const missing = (build?.options ?? []).map(({ long }: Option) => long as string).filter((long) => VALUES[long]?.[''] === undefined)
  expect(missing.sort()).toEqual(own)
})
