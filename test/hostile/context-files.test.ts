import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sys } from '../../src/base/sys.ts'
import { AT_FDCWD, S_IFCHR, S_IFIFO, S_IFSOCK } from '../../src/base/sys-constants.ts'
import { type BuildInputs, loadInputs } from '../../src/context/contexts.ts'
import { readDockerConfig } from '../../src/this-machine/docker-config-file.ts'
import { ThisMachine } from '../../src/this-machine/this-machine.ts'
import { root } from '../support/cli.ts'
import { noSources } from '../support/context-sources.ts'
import { codeOf, temporary } from '../unit/tree/folders.ts'

const { folder, shell } = temporary()
const SOURCES = noSources()

/** A context below a folder with files of somebody else. */
function place(script: string): { top: string; context: string } {
  const top = folder('place')
  mkdirSync(join(top, 'context'))
  writeFileSync(join(top, 'secret'), 'FROM scratch\nLABEL secret=1\n')
  writeFileSync(join(top, 'context/Dockerfile'), 'FROM scratch\n')
  shell(script, join(top, 'context'))
  return { top, context: join(top, 'context') }
}

const load = (context: string, file?: string): Promise<BuildInputs> =>
  loadInputs({ context, ...(file === undefined ? {} : { file }), buildArgs: {} }, new ThisMachine({}), SOURCES)

describe('symlinks of a context (BuildKit: the folder of the Dockerfile is their root)', () => {
  test.each(['../secret', '/etc/passwd', 'nowhere', '../../../../../../../../etc/passwd'])(
    'a Dockerfile that leads out, to %s',
    async (target) => {
      const { top, context } = place(`rm Dockerfile; ln -s ${target} Dockerfile; ln -s ${target} Other`)
      expect(await codeOf(load(context))).toBe('DOCKERFILE_NOT_FOUND')
      expect(await codeOf(load(context, join(context, 'Dockerfile')))).toBe('DOCKERFILE_NOT_FOUND')
      expect(await codeOf(load(context, join(context, 'Other')))).toBe('DOCKERFILE_NOT_FOUND')
      // The same by another name of the context.
      shell('ln -s context again', top)
      expect(await codeOf(load(join(top, 'again'), join(context, 'Dockerfile')))).toBe('DOCKERFILE_NOT_FOUND')
      await expect(load(context)).rejects.toThrow(expect.objectContaining({ hint: expect.stringContaining('is a symlink') }))
    },
  )

  test.each(['Dockerfile.dockerignore', '.dockerignore'])('%s that leads out is not there', async (name) => {
    const { context } = place(`printf 'topsecret[\\n' > ../lines; ln -s ../lines ${name}`)
    expect((await load(context)).ignore).toBeUndefined()
  })

  test('those that stay inside are followed', async () => {
    const { context } = place(
      'mkdir sub; mv Dockerfile sub/real; ln -s sub/real Dockerfile; echo x > sub/ign; ln -s /sub/ign Dockerfile.dockerignore; ln -s /../sub/real Up',
    )
    const { dockerfile, ignore } = await load(context)
    expect([dockerfile.text, ignore?.rules.map(({ text }) => text)]).toEqual(['FROM scratch\n', ['x']])
    expect((await load(context, join(context, 'Up'))).dockerfile.text).toBe('FROM scratch\n')
  })

  test('a Dockerfile outside that the caller names is the caller’s wish, with its ignore file', async () => {
    const { top, context } = place('ln -s secret ../link; echo y > ../ign; ln -s ign ../link.dockerignore')
    const { dockerfile, ignore } = await load(context, join(top, 'link'))
    expect([dockerfile.text, ignore?.rules.map(({ text }) => text)]).toEqual(['FROM scratch\nLABEL secret=1\n', ['y']])
  })
})

const node = (type: number) => (path: string) => sys().mknodat(AT_FDCWD, path, type | 0o600, 1, 5)
const KINDS = [
  ['a fifo', node(S_IFIFO)],
  ['a directory', (path: string) => mkdirSync(path)],
  ['a socket', node(S_IFSOCK)],
  ['a device', node(S_IFCHR)],
] as const

describe.each(KINDS)('%s where a file is read is an error at once', (_what, make) => {
  test.each(['Dockerfile', 'Dockerfile.dockerignore', '.dockerignore', '.tbuild.json'])(
    'as %s of the context',
    async (name) => {
      const { context } = place(`rm -f ${name}`)
      make(join(context, name))
      expect(await codeOf(load(context))).toBe('NOT_A_FILE')
      expect(await codeOf(load(context, join(context, 'Dockerfile')))).toBe('NOT_A_FILE')
    },
    10_000,
  )

  test('as a Dockerfile outside, or its ignore file', async () => {
    const { top, context } = place('cp Dockerfile ../fine')
    for (const name of ['odd', 'fine.dockerignore']) make(join(top, name))
    expect(await codeOf(load(context, join(top, 'odd')))).toBe('NOT_A_FILE')
    expect(await codeOf(load(context, join(top, 'fine')))).toBe('NOT_A_FILE')
  }, 10_000)

  test('as the file of a secret, a key, or config.json', async () => {
    const { top } = place('')
    const file = join(top, 'odd')
    make(file)
    const machine = new ThisMachine({ secrets: [{ id: 's', source: { file } }], ssh: [{ id: 'default', paths: [file] }] })
    expect(await codeOf(machine.secret('s'))).toBe('NOT_A_FILE')
    if (make !== KINDS[2][1]) expect(await codeOf(machine.agent('default'))).toMatch(/NOT_A_FILE|SSH/)
    expect(await codeOf(() => readDockerConfig(file))).toBe('DOCKER_CONFIG_INVALID')
  }, 10_000)
})

test('positive: a pipe that is open already is read, /dev/null is empty', () => {
  const { context } = place('')
  const run = (file: string) =>
    spawnSync('bash', ['-c', `echo FROM scratch AS piped | node bin/tbuild.js --call=targets -f ${file} "$0"`, context], {
      cwd: root,
      encoding: 'utf8',
    })
  expect(run('<(sleep 0.1; echo FROM scratch AS late)').stdout).toContain('late')
  expect(run('/dev/stdin').stdout).toContain('piped')
  expect(run('/dev/null').stderr).toContain('the Dockerfile cannot be empty')
})
