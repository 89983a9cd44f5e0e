import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { errorCode } from '../../../src/base/errors.ts'
import { annotations } from '../../../src/cli/options/annotation.ts'
import { normalizeArguments } from '../../../src/cli/options/arguments.ts'
import { refuseAttestations } from '../../../src/cli/options/attest.ts'
import { ignoredEnvironment, refuseEnvironment } from '../../../src/cli/options/environment.ts'
import { buildArgs, buildContexts, labels } from '../../../src/cli/options/key-value.ts'
import { byteSize, jobs, ulimit } from '../../../src/cli/options/limits.ts'
import { entitlements, extraHosts, network } from '../../../src/cli/options/network.ts'
import { output, outputs } from '../../../src/cli/options/output.ts'
import { platforms } from '../../../src/cli/options/platform.ts'
import { secret, ssh } from '../../../src/cli/options/secret.ts'
import { describeAll, ignoredOptions, program } from '../../../src/cli/program.ts'
import { progressMode } from '../../../src/cli/progress/display.ts'
import { formatPlatform, hostPlatform } from '../../../src/values/platform.ts'
import { handlers } from '../../support/handlers.ts'

/** The message of a usage error. */
function refusal(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    expect(['USAGE', 'UNSUPPORTED']).toContain(errorCode(error))
    expect((error as { exitCode?: number }).exitCode).toBe(2)
    return (error as Error).message
  }
  throw new Error('nothing was refused')
}

describe('--output', () => {
  test.each([
    ['out', { type: 'local', dest: 'out' }],
    ['a=b', { type: 'local', dest: 'a=b' }],
    ['-', { type: 'tar', dest: '-' }],
    ['type=local,dest=out', { type: 'local', dest: 'out' }],
    ['type=tar', { type: 'tar', dest: '-' }],
    ['type=oci,dest=x.tar', { type: 'oci', dest: 'x.tar', tar: true }],
    ['type=oci,dest=x,tar=false', { type: 'oci', dest: 'x', tar: false }],
    ['type=docker,"dest=a,b.tar",name=app:1', { type: 'docker', dest: 'a,b.tar', name: 'app:1' }],
    ['type=docker,dest=-,compression=gzip,compression-level=9', { type: 'docker', dest: '-', compression: 'gzip', compressionLevel: 9 }],
    ['type=docker', { type: 'docker' }],
    ['type=docker,context=remote', { type: 'docker', context: 'remote' }],
    ['type=image,name=r/a,push=true', { type: 'image', push: true, name: 'r/a' }],
    ['type=registry,name=r/a', { type: 'image', push: true, name: 'r/a' }],
    ['type=cacheonly', { type: 'cacheonly' }],
    ['type=image,name=r/a,push=t,oci-mediatypes=False', { type: 'image', push: true, name: 'r/a', ociMediaTypes: false }],
    ['type=image,push-by-digest=true,registry.insecure=true,push=', { type: 'image', push: true, pushByDigest: true, insecure: true }],
    ['type=image,unpack=false,store=true', { type: 'image', push: false }],
    ['type=local,dest=x,platform-split=false,mode=copy', { type: 'local', dest: 'x', platformSplit: false }],
    ['type=tar,source-date-epoch=7', { type: 'tar', dest: '-', epoch: 7 }],
    [
      'type=oci,dest=x,compression=zstd,compression-level=19,force-compression=true,oci-mediatypes=true,rewrite-timestamp=true,source-date-epoch=',
      {
        ...{ type: 'oci', dest: 'x', tar: true, compression: 'zstd', compressionLevel: 19, forceCompression: true },
        ...{ ociMediaTypes: true, rewriteTimestamp: true, epoch: null },
      },
    ],
    [
      'type=oci,dest=x,annotation.a=1,annotation-index.b=2,annotation-manifest-descriptor[linux/arm64].c=3',
      {
        ...{ type: 'oci', dest: 'x', tar: true },
        annotations: [
          { level: 'manifest', key: 'a', value: '1' },
          { level: 'index', key: 'b', value: '2' },
          { level: 'manifest-descriptor', platform: { os: 'linux', architecture: 'arm64' }, key: 'c', value: '3' },
        ],
      },
    ],
  ])('%s', (text, expected) => {
    expect(output(text)).toEqual(expected)
  })

  test.each([
    ['dest=x,tar=true', 'invalid --output "dest=x,tar=true": type is required'],
    ['type=oci', '--output type=oci needs dest=PATH'],
    ['type=oci,dest=-,tar=false', '--output type=oci,tar=false writes a directory: dest cannot be -'],
    ['type=oci,dest=x,compression=estargz', 'compression "estargz" is not supported'],
    ['type=oci,dest=x,compression-level=12', 'invalid compression-level "12": expected 0 to 9'],
    ['type=oci,dest=x,compression=zstd,compression-level=23', 'invalid compression-level "23": expected 0 to 22'],
    ['type=oci,dest=x,push=true', 'unknown key "push" of --output type=oci'],
    ['type=oci,dest=x,compresion=gzip', 'unknown key "compresion" of --output type=oci (did you mean compression?)'],
    ['type=local,dest=x,platfrm-split=true', 'unknown key "platfrm-split" of --output type=local (did you mean platform-split?)'],
    ['type=local,dest=x,mode=delete', 'key mode of --output type=local is not supported'],
    ['type=image,unpack=true', 'key unpack of --output type=image is not supported'],
    ['type=oci,dest=x,source-date-epoch=now', 'invalid source-date-epoch "now": expected seconds since 1970'],
    ['type=oci,dest=x,annotation-idx.a=1', 'unknown annotation type "idx"'],
    ['type=docker,dest=x,context=y', '--output type=docker: dest and context exclude each other'],
    ['type=docker,dest=x,tar=false', 'tar=false of --output type=docker is not supported'],
    ['type=oci,dest=x,tar=perhaps', '--output: tar must be true or false, not "perhaps"'],
    ['type=floppy', 'unknown --output type "floppy"'],
    [
      'type=oci,"dest=x',
      'invalid --output "type=oci,\\"dest=x": parse error on line 1, column 11: extraneous or missing " in quoted-field',
    ],
  ])('refuses %s', (text, message) => {
    expect(refusal(() => output(text))).toBe(message)
  })
})

test('any --output is a spec or a usage error', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('"', ',', '=', 'type', 'dest', 'oci', '-') }), (text) => {
      try {
        expect(output(text).type).toBeDefined()
      } catch (error) {
        expect(['USAGE', 'UNSUPPORTED']).toContain(errorCode(error))
      }
    }),
  )
})

describe('names and values', () => {
  test('A10 --build-arg without = has no value of its own', () => {
    expect({ ...buildArgs(['A=1', 'B', 'C=', 'D=a=b', 'A=2']) }).toEqual({ A: '2', B: undefined, C: '', D: 'a=b' })
    expect(refusal(() => buildArgs(['=x']))).toBe('invalid --build-arg "=x": the name is empty')
  })

  test('a name may be __proto__', () => {
    expect(Object.keys(buildArgs(['__proto__=1']))).toEqual(['__proto__'])
  })

  test('A16 --label without = is empty', () => {
    expect({ ...labels(['a=1', 'b']) }).toEqual({ a: '1', b: '' })
  })

  test('--build-context', () => {
    expect({ ...buildContexts(['node:20=oci-layout://x?y=z']) }).toEqual({ 'node:20': 'oci-layout://x?y=z' })
    const message = 'invalid context name Foo: invalid reference format: repository name (library/Foo) must be lowercase'
    expect(refusal(() => buildContexts(['Foo=.']))).toBe(message)
    expect(refusal(() => buildContexts(['a']))).toBe('invalid --build-context "a": expected NAME=VALUE')
  })

  test('--annotation: of the manifest unless a level is said, several levels at once, of one platform', () => {
    expect(annotations(['a.b=1', 'index,manifest[linux/arm64]:c=x:y=z'])).toEqual([
      { level: 'manifest', key: 'a.b', value: '1' },
      { level: 'index', key: 'c', value: 'x:y=z' },
      { level: 'manifest', platform: { os: 'linux', architecture: 'arm64' }, key: 'c', value: 'x:y=z' },
    ])
    expect(refusal(() => annotations(['indx:a=1']))).toBe('unknown annotation type "indx"')
    expect(refusal(() => annotations(['a']))).toBe('invalid annotation "a": expected KEY=VALUE')
    expect(refusal(() => annotations(['index:=x']))).toBe('invalid annotation "index:=x": the key is empty')
  })
})

describe('--secret and --ssh', () => {
  test.each([
    ['id=a,src=f', {}, { id: 'a', source: { file: 'f' } }],
    ['id=a,source=f', {}, { id: 'a', source: { file: 'f' } }],
    ['id=a,env=E', {}, { id: 'a', source: { env: 'E' } }],
    ['id=a', { a: 'x' }, { id: 'a', source: { env: 'a' } }],
    ['id=a', {}, { id: 'a', source: { file: 'a' } }],
    // The type says what a source is, not which of the two is meant without one (BuildKit's secretsprovider).
    ['type=file,id=a', { a: 'x' }, { id: 'a', source: { env: 'a' } }],
    ['type=env,id=a', {}, { id: 'a', source: { file: 'a' } }],
    ['type=env,id=a,src=E', {}, { id: 'a', source: { env: 'E' } }],
    ['id=a,src=f,env=E', {}, { id: 'a', source: { env: 'E' } }],
  ])('%s', (text, environment, expected) => {
    expect(secret(text, environment)).toEqual(expected)
  })

  test.each([
    ['src=f', '--secret "src=f" has no id'],
    ['id=a,mode=1', 'unexpected key "mode" in --secret "id=a,mode=1"'],
    ['id=', '--secret "id=" has no id'],
  ])('refuses %s', (text, message) => {
    expect(refusal(() => secret(text, {}))).toBe(message)
  })

  test('--ssh', () => {
    expect(ssh('default')).toEqual({ id: 'default', paths: [] })
    expect(ssh('k=/a,/b')).toEqual({ id: 'k', paths: ['/a', '/b'] })
    // As buildx: without a path it is the agent of SSH_AUTH_SOCK, without an id the default one.
    expect(ssh('k=')).toEqual({ id: 'k', paths: [] })
    expect(ssh('=/a')).toEqual({ id: 'default', paths: ['/a'] })
  })
})

describe('limits', () => {
  test.each([
    ['nofile=1024', { name: 'nofile', soft: 1024, hard: 1024 }],
    ['nofile=1024:2048', { name: 'nofile', soft: 1024, hard: 2048 }],
    ['core=-1', { name: 'core', soft: -1, hard: -1 }],
    ['core=0:-1', { name: 'core', soft: 0, hard: -1 }],
  ])('--ulimit %s', (text, expected) => {
    expect(ulimit(text)).toEqual(expected)
  })

  test.each([
    ['nofile', 'invalid ulimit argument: nofile'],
    ['files=1', 'invalid ulimit type: files'],
    ['nofile=5:4', 'ulimit soft limit must be less than or equal to hard limit: 5 > 4'],
    ['nofile=-1:4', 'ulimit soft limit must be less than or equal to hard limit: unlimited > 4'],
  ])('refuses --ulimit %s', (text, message) => {
    expect(refusal(() => ulimit(text))).toBe(message)
  })

  test.each([
    ['64', 64],
    ['64m', 64 * 2 ** 20],
    ['64MB', 64 * 2 ** 20],
    ['1GiB', 2 ** 30],
    ['1.5k', 1536],
  ])('--shm-size %s', (text, expected) => {
    expect(byteSize(text, '--shm-size')).toBe(expected)
  })

  test('wrong sizes and job counts', () => {
    expect(refusal(() => byteSize('many', '--shm-size'))).toBe("--shm-size: invalid size: 'many'")
    expect(refusal(() => jobs('0'))).toBe('invalid --jobs "0": expected a number of 1 or more')
    expect(jobs('4')).toBe(4)
  })
})

describe('network', () => {
  test('--add-host', () => {
    expect(extraHosts(['a:1.2.3.4'])).toEqual([{ host: 'a', ip: '1.2.3.4' }])
    expect(extraHosts(['a=::1', 'b:[::1]'])).toEqual([
      { host: 'a', ip: '::1' },
      { host: 'b', ip: '::1' },
    ])
    expect(extraHosts(['a:1.2.3.4,b:host-gateway'])).toEqual([
      { host: 'a', ip: '1.2.3.4' },
      { host: 'b', ip: '127.0.0.1' },
    ])
    expect(refusal(() => extraHosts(['a']))).toBe('bad format for add-host: "a"')
    expect(refusal(() => extraHosts(['a:b']))).toBe('invalid IP address in add-host: "b"')
    expect(refusal(() => extraHosts(['a b:1.2.3.4']))).toBe('bad format for add-host: "a b:1.2.3.4"')
  })

  test('--network and --allow', () => {
    expect(network('host')).toBe('host')
    expect(refusal(() => network('bridge'))).toBe('network mode "bridge" is not supported')
    expect(entitlements(['network.host,security.insecure'])).toEqual(['network.host', 'security.insecure'])
    expect(refusal(() => entitlements(['device']))).toBe('entitlement "device" is not supported')
  })
})

test.each([
  [['--label', '-a=b', '--pull=true']],
  [['--label', '--pull=true']],
  [['-qt', '-x=y']],
  [['-t', '--', '--pull=true']],
  [['--build-arg', '--no-cache=false', '.']],
])('the value of an option is not read as one: %j', (args) => {
  const value = args[1] as string
  expect(normalizeArguments(args).slice(0, 2)).toEqual([args[0], value])
  expect(normalizeArguments(args).slice(2)).toEqual(args.slice(2).map((arg) => arg.replace('=true', '')))
})

test('a switch takes no value from the argument behind it', () => {
  const commands = [describeAll(program('1', handlers(), { done() {}, print() {} }))]
  for (const command of commands) {
    commands.push(...command.commands)
    const written = command.options.filter((option) => !option.required && !option.optional).flatMap(({ long, short }) => [long, short])
    for (const name of written.filter((name) => name !== undefined)) {
      expect([name, ...normalizeArguments([name, '--pull=true']).slice(1)]).toEqual([name, '--pull'])
    }
  }
})

test('switches take =true and =false as docker does', () => {
  expect(normalizeArguments(['--pull=true', '--no-cache=false', '-t', 'x', '--rm=1', '.'])).toEqual(['--pull', '-t', 'x', '--rm', '.'])
  expect(normalizeArguments(['--', '--pull=false'])).toEqual(['--', '--pull=false'])
  expect(normalizeArguments(['-t=a:b', '-q=true', '-D=false', '-o=type=oci,dest=x', '.'])).toEqual([
    ...['-t', 'a:b', '--quiet', '-o', 'type=oci,dest=x', '.'],
  ])
  for (const value of ['maybe', 'tRUE', '']) {
    expect(refusal(() => normalizeArguments([`--pull=${value}`]))).toBe(`invalid argument "${value}" for --pull: expected true or false`)
  }
})

test.each([
  [
    ['buildx', 'build', '.'],
    ['build', '.'],
  ],
  [
    ['buildx', 'b', '-t', 'x', '.'],
    ['build', '-t', 'x', '.'],
  ],
  [
    ['image', 'build', '.'],
    ['build', '.'],
  ],
  [
    ['builder', 'build', '.'],
    ['build', '.'],
  ],
  [
    ['build', 'buildx'],
    ['build', 'buildx'],
  ],
  [['buildx'], ['buildx']],
  [
    ['image', 'ls'],
    ['image', 'ls'],
  ],
])('%j is how docker spells the command', (args, expected) => {
  expect(normalizeArguments(args)).toEqual(expected)
})

describe('attestations', () => {
  test.each([
    { provenance: 'false' },
    { provenance: 'F', sbom: '0' },
    { sbom: 'disabled=true' },
    { attest: ['type=provenance,disabled=true', 'type=sbom,disabled=1'] },
    { provenance: '', attest: [] },
  ])('%j asks for what is done anyway', (flags) => {
    refuseAttestations(flags)
  })

  test.each([
    [{ provenance: 'true' }, '--provenance=true is not supported'],
    [{ provenance: 'mode=min' }, '--provenance=mode=min is not supported'],
    [{ sbom: '1' }, '--sbom=1 is not supported'],
    [{ attest: ['type=sbom,generator=x'] }, '--attest type=sbom,generator=x is not supported'],
    [{ attest: ['generator=x'] }, 'invalid --attest generator=x: attestation type not specified'],
    [{ attest: ['type=sbom,disabled=no'] }, 'invalid --attest type=sbom,disabled=no: disabled must be true or false'],
  ])('%j is refused by name', (flags, message) => {
    expect(refusal(() => refuseAttestations(flags))).toBe(message)
  })
})

test('--platform: local is this machine, none twice', () => {
  const host = formatPlatform(hostPlatform())
  expect(platforms(['linux/arm64,local', host, 'linux/aarch64'], {}).map(formatPlatform)).toEqual(['linux/arm64', host])
  expect(() => platforms([''], {})).toThrow(expect.objectContaining({ code: 'PLATFORM_INVALID' }))
  expect(platforms([], { DOCKER_DEFAULT_PLATFORM: 'local' }).map(formatPlatform)).toEqual([host])
})

describe('--load and --push', () => {
  const PATH = mkdtempSync(join(tmpdir(), 'tbuild-docker-'))
  writeFileSync(join(PATH, 'docker'), '#!/bin/sh\n', { mode: 0o755 })
  afterAll(() => rmSync(PATH, { recursive: true }))
  const flags = { output: [], tag: ['a'] }

  test('add an output each, unless there is one', () => {
    expect(outputs({ ...flags, push: true, load: true }, { PATH })).toEqual([{ type: 'image', push: true }, { type: 'docker' }])
    const given = { ...flags, output: ['', 'type=image,name=b', 'type=docker'], push: true, load: true }
    expect(outputs(given, { PATH })).toEqual([{ type: 'image', push: true, name: 'b' }, { type: 'docker' }])
    expect(outputs({ ...flags, output: ['type=docker,dest=x'], load: true }, { PATH })).toHaveLength(2)
  })

  test('without a docker --load is a warning, and -o type=docker an error', () => {
    expect(outputs({ ...flags, load: true }, { PATH: '/none' })).toEqual([])
    expect(ignoredOptions(['--load'], { PATH: '/none' })).toEqual([expect.stringContaining('no `docker` in PATH')])
    expect(ignoredOptions(['--load'], { PATH })).toEqual([])
    expect(refusal(() => outputs({ ...flags, output: ['type=docker'] }, {}))).toBe('--output type=docker needs dest=PATH')
  })
})

test('variables that change what buildx builds', () => {
  expect(refusal(() => refuseEnvironment({ EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: 'p.json' }))).toContain('SOURCE_POLICY is not supported')
  refuseEnvironment({ EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: '' })
  expect(ignoredEnvironment({ BUILDX_GIT_LABELS: 'full' })).toHaveLength(1)
  expect([...ignoredEnvironment({ BUILDX_GIT_LABELS: '0' }), ...ignoredEnvironment({})]).toEqual([])
})

describe('--progress', () => {
  const screen = { isTTY: true, write: () => true }

  test('-q excludes another mode', () => {
    expect(progressMode('auto', true, screen, {})).toBe('quiet')
    expect(refusal(() => progressMode('plain', true, screen, {}))).toBe('progress=plain and quiet cannot be used together')
  })

  test('BUILDKIT_PROGRESS', () => {
    expect(progressMode(undefined, false, screen, { BUILDKIT_PROGRESS: 'plain' })).toBe('plain')
    expect(progressMode(undefined, false, screen, { BUILDKIT_PROGRESS: '' })).toBe('tty')
    expect(progressMode('rawjson', false, screen, { BUILDKIT_PROGRESS: 'plain' })).toBe('rawjson')
    expect(refusal(() => progressMode(undefined, false, screen, { BUILDKIT_PROGRESS: 'nope' }))).toBe('invalid progress mode nope')
  })
})
