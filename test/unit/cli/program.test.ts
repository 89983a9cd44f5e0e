import { expect, test } from '@jest/globals'
import { openIo } from '../../../src/cli/io.ts'
import { buildOptions } from '../../../src/cli/options/build.ts'
import { asUsage, type BuildCommandFlags, type Handlers, ignoredOptions, isInformation, program } from '../../../src/cli/program.ts'
import { storeHandlers } from '../../../src/cli/store-handlers.ts'
import { handlers } from '../../support/handlers.ts'

const IO = openIo(process)

interface Call {
  command: string
  argument?: string
  flags: unknown
}

/** Parses a command line and returns which handler was called with what; `print` gets help and version. */
async function parse(args: string[], print: (text: string) => void = () => {}): Promise<Call> {
  const calls: Call[] = []
  const remember = (command: string) => async (argument: string, flags: unknown) => {
    calls.push({ command, argument, flags })
    return 0
  }
  const handlers: Handlers = {
    build: remember('build'),
    explain: remember('explain'),
    images: async (flags) => {
      calls.push({ command: 'images', flags })
      return 0
    },
    inspect: remember('inspect'),
    history: remember('history'),
    ...storeHandlers(IO, []),
  }
  await program('1.2.3', handlers, { done() {}, print }).parseAsync(args, { from: 'user' })
  return calls[0] as Call
}

async function options(args: string[], environment: NodeJS.ProcessEnv = {}) {
  const call = await parse(args)
  return buildOptions(call.argument as string, call.flags as BuildCommandFlags, environment)
}

async function refusal(args: string[]): Promise<{ message: string; hint?: string; exitCode: number }> {
  try {
    await options(args)
  } catch (error) {
    const { message, hint, exitCode } = asUsage(error) as { message: string; hint?: string; exitCode: number }
    return { message, ...(hint === undefined ? {} : { hint }), exitCode }
  }
  throw new Error('nothing was refused')
}

test('build is the default command', async () => {
  expect(await parse(['.'])).toMatchObject({ command: 'build', argument: '.' })
  expect(await parse(['build', '-'])).toMatchObject({ command: 'build', argument: '-' })
  expect(await parse(['-f', 'x/Dockerfile', '.'])).toMatchObject({ command: 'build', argument: '.', flags: { file: 'x/Dockerfile' } })
  expect(await parse(['./images'])).toMatchObject({ command: 'build', argument: './images' })
  expect(await parse(['images', '-q'])).toMatchObject({ command: 'images', flags: { quiet: true } })
  expect(await parse(['history', 'a', '--no-trunc'])).toMatchObject({ command: 'history', argument: 'a', flags: { trunc: false } })
})

test('only the command that is given is described, and all for the help of the program', async () => {
  const described = async (...args: string[]) => {
    const top = program('1', handlers({ build: async () => 0, images: async () => 0 }), { done() {}, print() {} })
    await top.parseAsync(args, { from: 'user' }).catch(() => {})
    return top.commands.filter((command) => command.description() !== '').map((command) => command.name())
  }
  const all = program('1', handlers(), { done() {}, print() {} }).commands.map((command) => command.name())
  expect(await described('.')).toEqual(['build'])
  expect(await described('ls')).toEqual(['images'])
  expect(await described('build', '--help')).toEqual(['build'])
  expect(await described('help', 'cache')).toEqual(['cache'])
  expect(await described('--version')).toEqual([])
  expect(await described('--help')).toEqual(all)
  expect(await described('help')).toEqual(all)
})

test('a bare command line asks for nothing', async () => {
  const environment = {}
  expect(await options(['.'], environment)).toEqual({ context: '.', environment })
})

test('every option reaches BuildOptions', async () => {
  const args =
    '-f D -t a -t b:1 --target T --build-arg A=1 --build-arg B= --label l=1 --platform linux/arm64,linux/amd64 --no-cache --no-cache-filter x,y --pull ' +
    '--network none --allow network.host --add-host h:1.2.3.4 --ulimit nofile=1 --shm-size 1k --cgroup-parent /c --secret id=s,src=f --ssh default ' +
    '--build-context c=d --annotation n=v -o out --jobs 3 --root /r --provenance=false .'
  const { environment: _, ...rest } = await options(args.split(' '))
  expect(JSON.parse(JSON.stringify(rest))).toEqual({
    context: '.',
    file: 'D',
    target: 'T',
    tags: ['a', 'b:1'],
    buildArgs: { A: '1', B: '' },
    labels: { l: '1' },
    platforms: [
      { os: 'linux', architecture: 'arm64' },
      { os: 'linux', architecture: 'amd64' },
    ],
    noCache: true,
    noCacheFilter: ['x', 'y'],
    pull: true,
    network: 'none',
    allow: ['network.host'],
    extraHosts: [{ host: 'h', ip: '1.2.3.4' }],
    ulimits: [{ name: 'nofile', soft: 1, hard: 1 }],
    shmSize: 1024,
    cgroupParent: '/c',
    secrets: [{ id: 's', source: { file: 'f' } }],
    ssh: [{ id: 'default', paths: [] }],
    buildContexts: { c: 'd' },
    annotations: [{ level: 'manifest', key: 'n', value: 'v' }],
    outputs: [{ type: 'local', dest: 'out' }],
    jobs: 3,
    root: '/r',
  })
})

test('A10 --build-arg NAME takes the value of the environment; a variable that is not there sets nothing', async () => {
  const args = ['--build-arg', 'A', '--build-arg', 'B', '--build-arg', 'BUILDKIT_INLINE_CACHE', '.']
  const { buildArgs, cacheTo } = await options(args, { A: '1', BUILDKIT_INLINE_CACHE: '1' })
  expect({ ...buildArgs }).toEqual({ A: '1', BUILDKIT_INLINE_CACHE: '1' })
  expect(Object.keys(buildArgs ?? {})).not.toContain('B')
  expect(cacheTo).toEqual([{ type: 'inline' }])
  expect((await options(args)).cacheTo).toBeUndefined()
})

test('the platform defaults to DOCKER_DEFAULT_PLATFORM', async () => {
  expect((await options(['.'], { DOCKER_DEFAULT_PLATFORM: 'linux/arm64' })).platforms).toEqual([{ os: 'linux', architecture: 'arm64' }])
})

test.each([
  [['--no-cach', '.'], "unknown option '--no-cach'", 'did you mean --no-cache?'],
  [['--frobnicate', '.'], "unknown option '--frobnicate'", 'run `tbuild --help` for the options'],
  [[], "missing required argument 'context'", 'run `tbuild --help` for the options'],
  [['a', 'b'], "too many arguments for 'build'. Expected 1 argument but got 2.", 'run `tbuild --help` for the options'],
  [['--attest', 'type=sbom', '.'], '--attest type=sbom is not supported', 'tbuild makes no attestations: use --sbom=false'],
  [['--provenance=true', '.'], '--provenance=true is not supported', 'tbuild makes no attestations: use --provenance=false'],
  [['-f', '-', '-'], 'the context and the Dockerfile cannot both be read from standard input', undefined],
  [['--push', '.'], '--push needs a tag', 'add -t REGISTRY/NAME:TAG'],
  [['-o', '-', '-o', 'type=oci,dest=-', '.'], 'only one output can go to standard output', undefined],
])('%j is a usage error', async (args, message, hint) => {
  expect(await refusal(args)).toEqual({ message, ...(hint === undefined ? {} : { hint }), exitCode: 2 })
})

test('legacy options are accepted with a warning', async () => {
  const args = ['--rm', '--force-rm', '--isolation', 'process', '-m', '1g', '.']
  expect((await parse(args)).argument).toBe('.')
  expect(ignoredOptions(args)).toEqual([
    '--rm has no effect: there are no intermediate containers',
    '--force-rm has no effect: there are no intermediate containers',
    '--memory has no effect: RUN steps are not limited',
    '--isolation has no effect: it is for Windows containers',
  ])
})

test('help and version are no errors', async () => {
  let text = ''
  const print = (part: string) => {
    text += part
  }
  for (const flag of ['--help', '--version']) {
    const error = await parse([flag], print).catch((thrown: unknown) => thrown)
    expect(isInformation(error)).toBe(true)
  }
  expect(text).toContain('1.2.3')
  expect(text).toContain('Builds Dockerfiles as BuildKit does')
})
