import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Finished, script, tbuild } from '../support/cli.ts'

let folder = ''
let base: string[] = []
let places = 0

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-e2e-store-'))
  const layout = script('busybox-layout.mjs')
  if (layout.status !== 0) throw new Error(layout.stderr)
  base = ['--build-context', `busybox=oci-layout://${layout.stdout.trim()}`, '--progress', 'plain']
}, 300_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }), 120_000)

/** A store of its own with commands on it. */
function newStore() {
  const store = join(folder, `store-${places++}`)
  const command = (...args: string[]): Finished => tbuild([...args, '--root', store])
  const json = (...args: string[]) => JSON.parse(command(...args, '--format', 'json').stdout)
  const build = (dockerfile: string, ...args: string[]): Finished => {
    const context = mkdtempSync(join(folder, 'context-'))
    writeFileSync(join(context, 'Dockerfile'), dockerfile)
    const built = command('build', ...base, ...args, context)
    if (built.status !== 0) throw new Error(built.stderr)
    return built
  }
  return { store, command, json, build }
}

/** The only file of a layer with this path, in the store. */
function inLayers(store: string, path: string): string {
  const found = readdirSync(join(store, 'v1/layers'))
    .map((id) => join(store, 'v1/layers', id, 'fs', path))
    .filter((file) => existsSync(file))
  expect(found).toHaveLength(1)
  return found[0] as string
}

describe('verify-store', () => {
  test.each([
    ['a layer that was built', 'made', 'layer'],
    ['a layer of the base image', 'etc/passwd', 'layer'],
  ])(
    'a changed byte in %s is found, forgotten, and made again',
    (_name, path, type) => {
      const { store, command, json, build } = newStore()
      build('FROM busybox\nRUN echo made > /made\n', '-t', 'app')
      expect(command('verify-store').stdout).toMatch(/: all is well\n$/)
      const file = inLayers(store, path)
      const { mtime, size } = statSync(file)
      writeFileSync(file, readFileSync(file, 'latin1').replace(/^./, 'X'), 'latin1')
      utimesSync(file, mtime, mtime)
      expect(statSync(file).size).toBe(size)

      const checked = command('verify-store', '--check-only')
      expect(checked.status).toBe(1)
      expect(checked.stdout).toMatch(/^found layer [0-9a-f]+: its files /)
      const { findings } = json('verify-store')
      expect(findings.map((finding: { type: string }) => finding.type)).toEqual(expect.arrayContaining([type, 'record', 'image']))
      expect(findings.every(({ forgotten }: { forgotten: boolean }) => forgotten)).toBe(true)
      expect(command('verify-store', '--check-only').status).toBe(0)
      build('FROM busybox\nRUN echo made > /made\n', '-t', 'app')
      expect(readFileSync(inLayers(store, path), 'latin1')).not.toMatch(/^X/)
    },
    60_000,
  )

  test('a layer whose directory a power cut tore is unpacked from its blob: the image that has it stays, whatever --limit unpack is', () => {
    const { store, command, build } = newStore()
    const [before, after] = ['before.tar', 'after.tar'].map((name) => join(folder, name))
    const output = (dest: string | undefined) => ['-t', 'app', '-o', `type=oci,dest=${dest}`]
    const dockerfile = 'FROM busybox\nRUN head -c 200000 /dev/zero >/made\n'
    build(dockerfile, ...output(before))
    const made = inLayers(store, 'made')
    const layer = join(made, '../..')
    // What a build that did not wait for the directory leaves, as the next boot finds it.
    writeFileSync(join(layer, 'boot'), '11111111-1111-1111-1111-111111111111')
    rmSync(made)
    expect(command('verify-store')).toMatchObject({ status: 0 })
    expect(build('FROM app\nRUN test $(stat -c %s /made) = 200000\n', '--limit', 'unpack=100000').stderr).toMatch(/ DONE /)
    expect(statSync(made).size).toBe(200_000)
    expect(build(dockerfile, ...output(after)).stderr).toContain('CACHED')
    expect(readFileSync(after as string)).toEqual(readFileSync(before as string))
  }, 60_000)

  test('an altered blob is noticed by what reads it, and mended by verify-store', () => {
    const { store, command, build } = newStore()
    const dockerfile = 'FROM busybox\nRUN echo made > /made\n'
    const archive = join(folder, 'out.tar')
    build(dockerfile, '-o', `type=oci,dest=${archive}`)
    const blobs = join(store, 'v1/oci/blobs/sha256')
    const largest = readdirSync(blobs).sort((a, b) => statSync(join(blobs, b)).size - statSync(join(blobs, a)).size)[0] as string
    chmodSync(join(blobs, largest), 0o600)
    const bytes = readFileSync(join(blobs, largest))
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] as number) ^ 1
    writeFileSync(join(blobs, largest), bytes)
    // Another archive: the one that is there has the bytes of before.
    const another = join(folder, 'another.tar')
    expect(() => build(dockerfile, '-o', `type=oci,dest=${another}`)).toThrow(/code: BLOB_CORRUPT/)
    expect(command('verify-store').stdout).toMatch(/^forgot blob sha256:/)
    build(dockerfile, '-o', `type=oci,dest=${another}`)
    expect(readFileSync(another)).toEqual(readFileSync(archive))
  }, 60_000)
})

describe('du and prune', () => {
  const DOCKERFILE = 'FROM busybox\nRUN dd if=/dev/zero of=/big bs=1k count=500\nRUN echo small > /small\n'

  test('du tells what each line costs, and what images share', () => {
    const { json, command, build } = newStore()
    build(DOCKERFILE, '-t', 'one')
    build(`${DOCKERFILE}RUN echo more > /more\n`, '-t', 'two')
    const { lines, images, total } = json('du')
    const big = lines.find(({ name }: { name: string }) => name.includes('/big'))
    expect(big).toMatchObject({ place: 'Dockerfile:2', unique: 0 })
    expect(big.shared).toBeGreaterThanOrEqual(500_000)
    expect(lines[0].name).toContain('/big')
    expect(images).toHaveLength(2)
    expect(images[0].usage.shared).toBeGreaterThan(500_000)
    expect(total).toBeGreaterThan(images[0].usage.shared)
    for (const by of ['type', 'image', 'record', 'line', 'mount']) expect(command('du', '--by', by).stdout).toMatch(/\n\nTotal \d/)
    expect(command('du', '--by', 'line').stdout).toMatch(/^LINE .*\nDockerfile:2 /)
    expect(command('du', '--by', 'colour').status).toBe(2)
  }, 60_000)

  test('prune says what goes, takes it, and what images need stays', () => {
    const { store, json, command, build } = newStore()
    build('FROM busybox\nRUN --mount=type=cache,target=/c echo x > /c/x && echo 1 > /one\n', '-t', 'kept')
    build('FROM busybox\nRUN dd if=/dev/zero of=/big bs=1k count=500\n')
    // The config of the image that nobody named.
    expect(json('prune').removed).toMatchObject([{ type: 'blob' }])
    expect(command('prune').stdout).toBe('Freed 0B\n')
    const dry = json('prune', '--all', '--dry-run')
    expect(dry.removed.map(({ type }: { type: string }) => type).sort()).toEqual(
      expect.arrayContaining(['layer', 'mount', 'record', 'record']),
    )
    expect(json('prune', '--filter', 'unused-for=1h').removed).toEqual([])
    expect(json('prune', '--keep-storage', '100KB', '--filter', 'type=record').freed).toBeGreaterThan(500_000)
    expect(json('prune', '--filter', 'id=/c').removed).toMatchObject([{ type: 'mount', name: '/c' }])
    json('prune', '--all')
    expect(json('du')).toMatchObject({ records: [], mounts: [], images: [{ image: { name: expect.stringContaining('kept') } }] })
    expect(command('verify-store', '--check-only').status).toBe(0)
    json('prune', '--filter', 'type=image')
    expect(readdirSync(join(store, 'v1/layers'))).toEqual([])
    expect(readdirSync(join(store, 'v1/oci/blobs/sha256'))).toEqual([])
  }, 60_000)
})

describe('cache mounts', () => {
  const mount = (options: string, command: string) => `FROM busybox\nRUN --mount=type=cache,${options} ${command}\n`

  test('--no-cache keeps them, --reset-cache-mounts begins with empty ones', () => {
    const { build } = newStore()
    const count = (...args: string[]) =>
      /^#\d+ [\d.]+ lines (\d+)$/m.exec(
        build(mount('target=/c', 'echo x >> /c/x; echo "lines $(cat /c/x | wc -l)"'), '--no-cache', ...args).stderr,
      )?.[1]
    expect(count()).toBe('1')
    expect(count()).toBe('2')
    expect(count('--reset-cache-mounts')).toBe('1')
    expect(count()).toBe('2')
  }, 60_000)

  test('a new one is root’s, as BuildKit’s, and the user’s when that is asked for', () => {
    const { build } = newStore()
    const dockerfile = 'FROM busybox\nUSER www-data\nRUN --mount=type=cache,target=/c stat -c "owner %u:%g" /c\n'
    expect(build(dockerfile).stderr).toContain('owner 0:0')
    expect(build(dockerfile, '--no-cache', '--cache-mount-owner', 'user').stderr).toContain('owner 33:33')
    expect(build(dockerfile, '--no-cache').stderr).toContain('owner 0:0')
  }, 60_000)

  test('are listed, exported, removed and imported with owners, modes, times, links and names that only a cache has', () => {
    const { json, command, build } = newStore()
    const show = 'cd /c && find . | sort | xargs stat -c "%n %A %u:%g %s %Y %h" && readlink link && cat .wh.file'
    build(
      mount(
        'id=deps,target=/c',
        'cd /c && mkdir -p d && echo a > d/a && ln d/a d/b && ln -s d/a link && echo w > .wh.file && chown -R 33:7 d && chmod 4750 d/a && touch -d "2001-02-03 04:05:06" d/a d && chmod 1777 /c',
      ),
    )
    const before = build(mount('id=deps,target=/c', show), '--no-cache')
      .stderr.match(/^#\d+ [\d.]+ .*$/gm)
      ?.map((line) => line.replace(/^#\d+ [\d.]+ /, ''))
    expect(before?.join('\n')).toContain('d/a -rwsr-x--- 33:7 2 981173106 2')
    expect(json('cache', 'ls')).toMatchObject([{ id: 'deps', inUse: false, directories: 1 }])
    expect(json('cache', 'du')[0].size).toBeGreaterThan(0)
    const exported = join(folder, 'exported')
    expect(command('cache', 'export', exported, '--id', 'deps').stdout).toBe('exported "deps"\n')
    expect(command('cache', 'export', exported).stderr).toContain('code: EXPORT_DEST_NOT_EMPTY')
    expect(command('cache', 'rm').status).toBe(2)
    expect(command('cache', 'rm', '--id', 'other').stderr).toContain('code: CACHE_MOUNT_MISSING')
    expect(command('cache', 'rm', '--id', 'deps').stdout).toBe('removed "deps"\n')
    expect(json('cache', 'ls')).toEqual([])

    const other = newStore()
    expect(other.command('cache', 'import', exported).stdout).toBe('imported "deps"\n')
    const after = other
      .build(mount('id=deps,target=/c', show))
      .stderr.match(/^#\d+ [\d.]+ .*$/gm)
      ?.map((line) => line.replace(/^#\d+ [\d.]+ /, ''))
    expect(after).toEqual(before)

    const blobs = join(exported, 'blobs/sha256')
    const layer = readdirSync(blobs).find((name) => readFileSync(join(blobs, name))[0] === 0x1f) as string
    const bytes = readFileSync(join(blobs, layer))
    bytes[40] = (bytes[40] as number) ^ 1
    writeFileSync(join(blobs, layer), bytes)
    const refused = newStore()
    expect(refused.command('cache', 'import', exported).stderr).toMatch(/code: (?!BUG)[A-Z_]+\n/)
    expect(refused.json('cache', 'ls')).toEqual([])
    mkdirSync(join(folder, 'nothing'))
    expect(refused.command('cache', 'import', join(folder, 'nothing')).stderr).toContain('code: CACHE_EXPORT_INVALID')
  }, 60_000)
})

describe('a last COPY that an output wants as a blob', () => {
  /** A context with files of times to the nanosecond, and one Dockerfile for each of these. */
  function context(...dockerfiles: string[]): string {
    const path = mkdtempSync(join(folder, 'packed-'))
    mkdirSync(join(path, 'files/d'), { recursive: true })
    for (const [index, name] of ['a', 'b', 'd/c'].entries()) {
      writeFileSync(join(path, 'files', name), name)
      utimesSync(join(path, 'files', name), 0, 1e9 + 0.25 * (index + 1))
    }
    for (const name of ['files/d', 'files']) utimesSync(join(path, name), 0, 1e9 + 0.125)
    for (const [index, text] of dockerfiles.entries()) writeFileSync(join(path, `${index}.Dockerfile`), text)
    return path
  }

  const COPY = 'FROM busybox\nCOPY files /etc\n'
  const LATER = `${COPY}RUN stat -c '%n %y' /etc/a /etc/d /etc/d/c > /times\n`
  const copied = (built: Finished) => /COPY files \/etc\n#\d+ (\w+)/.exec(built.stdout + built.stderr)?.[1]

  test('is a directory when a later build needs one, with the times that it would have had', () => {
    const path = context(COPY, LATER)
    const { store, command } = newStore()
    const build = (file: number, ...args: string[]) => command('build', ...base, '-f', join(path, `${file}.Dockerfile`), ...args, path)
    const archive = join(path, 'first.tar')
    expect(build(0, '-o', `type=oci,dest=${archive}`, '-t', 'app').status).toBe(0)
    expect(readdirSync(join(store, 'v1/layers')).filter((name) => existsSync(join(store, 'v1/layers', name, 'fs/etc/a')))).toEqual([])
    expect(command('verify-store').stdout).toMatch(/: all is well\n$/)
    const later = build(1)
    expect([later.status, copied(later)]).toEqual([0, 'CACHED'])
    const times = readFileSync(inLayers(store, 'times'), 'utf8')
    expect(command('verify-store').stdout).toMatch(/: all is well\n$/)
    const plain = newStore()
    expect(plain.command('build', ...base, '-f', join(path, '1.Dockerfile'), path).status).toBe(0)
    expect(times).toBe(readFileSync(inLayers(plain.store, 'times'), 'utf8'))
    expect(times).toContain('/etc/a 2001-09-09 01:46:40.250000000')
  })

  test('leaves a cache and an image that others take, whose bytes are those of a build without output', () => {
    const path = context(COPY, LATER)
    const [one, two] = [newStore(), newStore()]
    const args = ['--build-arg', 'SOURCE_DATE_EPOCH=1700000000', '-f', join(path, '0.Dockerfile')]
    const cache = join(path, 'cache')
    const first = join(path, 'first.tar')
    const packed = one.command(
      'build',
      ...base,
      ...args,
      '-o',
      `type=oci,dest=${first}`,
      '--cache-to',
      `type=local,dest=${cache},mode=max`,
      path,
    )
    expect(packed.status).toBe(0)
    const second = join(path, 'second.tar')
    expect(two.command('build', ...base, ...args, path).status).toBe(0)
    expect(two.command('build', ...base, ...args, '-o', `type=oci,dest=${second}`, path).status).toBe(0)
    expect(readFileSync(second).equals(readFileSync(first))).toBe(true)
    const three = newStore()
    const imported = three.command('build', ...base, ...args, '--cache-from', `type=local,src=${cache}`, path)
    expect([imported.status, copied(imported)]).toEqual([0, 'CACHED'])
  })

  test.each(['blobs', 'times'])('is made again when its %s are lost', (what) => {
    const path = context(COPY, LATER)
    const { store, command } = newStore()
    const build = (file: number, ...args: string[]) => command('build', ...base, '-f', join(path, `${file}.Dockerfile`), ...args, path)
    expect(build(0, '-o', `type=oci,dest=${join(path, 'a.tar')}`).status).toBe(0)
    const infos = readdirSync(join(store, 'v1/layers')).filter((name) => name.endsWith('.json'))
    const [info] = infos
      .map((name) => JSON.parse(readFileSync(join(store, 'v1/layers', name), 'utf8')).value)
      .filter(({ packed }) => packed)
    const digest: string = what === 'times' ? info.packed.times : info.blobs[0].digest
    rmSync(join(store, 'v1/oci/blobs/sha256', digest.slice('sha256:'.length)))
    const later = build(1)
    expect([later.status, copied(later)]).toEqual([0, 'DONE'])
    expect(command('prune', '--all').status).toBe(0)
    expect(command('du', '--format', 'json').stdout).toContain('"records":[]')
  })
})
