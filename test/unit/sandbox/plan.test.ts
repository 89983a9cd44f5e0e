import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { HostFacts } from '../../../src/sandbox/host.ts'
import { makePlan, type Plan, sortMounts } from '../../../src/sandbox/plan.ts'
import type { ExecSpec } from '../../../src/sandbox/types.ts'
import { encodePlan, MOUNT_FLAGS, RECORDS } from '../../../src/sandbox/wire.ts'
import { parseIdMap } from '../../../src/values/id-map.ts'
import { processSettings } from '../../../src/values/process-settings.ts'
import { readRecords } from '../../support/plan-records.ts'

const host: HostFacts = {
  userNamespace: false,
  setgroups: true,
  ids: parseIdMap('0 0 4294967295', '0 0 4294967295'),
  cgroup2: true,
  volatileOverlay: true,
  hardLimits: { nofile: 4096n, core: (1n << 64n) - 1n },
  oomCounter: '/sys/fs/cgroup/memory.events',
  resolvConf: () => 'nameserver 127.0.0.53\nnameserver 10.0.0.1\nsearch corp.example\n',
  oomCounterOf: (directory) => `${directory}/memory.events`,
  cgroupDirectories: (parent) => [`/sys/fs/cgroup${parent}/tbuild-1-1`],
}
const spec: ExecSpec = {
  rootfs: { lower: ['/l/1', '/l/2'], upper: '/a/upper', work: '/a/work' },
  args: ['/bin/sh', '-c', 'true'],
  env: ['PATH=/usr/bin:/bin', 'A=1', 'A=2'],
  cwd: '/',
  user: '',
  hostname: 'buildkitsandbox',
  network: 'default',
  security: 'sandbox',
  mounts: [],
  settings: processSettings({}),
}
const plan = (more: Partial<ExecSpec> = {}, facts: Partial<HostFacts> = {}): Plan =>
  makePlan({ ...spec, ...more }, { ...host, ...facts }, () => undefined)
const at = (made: Plan, target: string) => made.mounts.filter((mount) => mount.target === target)
const optionsOf = (made: Plan, target: string) =>
  made.mounts.flatMap((mount) => (mount.kind === 'fs' && mount.target === target ? mount.options : []))
const text = (made: Plan, target: string) => Buffer.from((at(made, target)[0] as { data: Uint8Array }).data).toString()

describe('the plan of who has one id', () => {
  const facts = { userNamespace: true, setgroups: false, ids: parseIdMap('0 1000 1', '0 1000 1') }
  const program = (made: Plan) => Buffer.from(made.seccomp ?? []).toString('hex')

  test('a USER is what root is called in a namespace of the command’s own; nothing is given to it on disk', () => {
    const made = plan({ user: '12:13', mounts: [{ type: 'file', target: '/s', data: Buffer.of(1), mode: 0o400, uid: 12, gid: 13 }] }, facts)
    expect(made).toMatchObject({ user: { uid: 0, gid: 0, groups: [] }, shownAs: { uid: 12, gid: 13 }, setgroups: false })
    expect(at(made, '/s')).toEqual([expect.objectContaining({ uid: 0, gid: 0 })])
    expect(program(made)).toBe(program(plan()))
  })

  test('root is itself, and changes of owners are pretended, also without the other limits', () => {
    const made = plan({}, facts)
    expect(made).toMatchObject({ user: { uid: 0, gid: 0 }, shownAs: undefined })
    expect(program(made)).not.toBe(program(plan()))
    expect(plan({ security: 'insecure' }, facts).seccomp).toBeInstanceOf(Uint8Array)
  })

  test('ranges: ids beyond them only', () => {
    const ids = parseIdMap('0 1000 1\n1 100000 65536', '0 1000 1\n1 100000 65536')
    expect(plan({ user: '65536:65536' }, { ...facts, ids })).toMatchObject({ user: { uid: 65536, gid: 65536 }, shownAs: undefined })
    expect(plan({ user: '12:65537' }, { ...facts, ids })).toMatchObject({ user: { uid: 0, gid: 0 }, shownAs: { uid: 12, gid: 65537 } })
  })
})

describe('the plan', () => {
  test('R5 capabilities and seccomp, none of both for insecure', () => {
    expect(plan().capabilities.toString(16)).toBe('a80425fb')
    expect(plan().seccomp).toBeInstanceOf(Uint8Array)
    expect(plan({ security: 'insecure' })).toMatchObject({ capabilities: (1n << 64n) - 1n, seccomp: undefined })
    expect(plan({ security: 'insecure' }).mounts.filter(({ kind }) => kind === 'mask' || kind === 'readonly')).toEqual([])
  })

  test.each(['INSECURE ', '', '99'])('a security mode that is not known is refused: %j', (security) => {
    expect(() => plan({ security: security as 'sandbox' })).toThrow(expect.objectContaining({ code: 'EXEC_INVALID' }))
  })

  test('/proc, /sys and /dev must be ordinary directories and /dev is nodev', () => {
    for (const target of ['/proc', '/sys', '/dev'])
      expect(at(plan(), target)).toEqual([expect.objectContaining({ flags: ['plain', 'keep'] })])
    expect(at(plan(), '/dev')).toEqual([expect.objectContaining({ attributes: ['nosuid', 'nodev'] })])
    expect(at(plan(), '/sys')).toEqual([expect.objectContaining({ attributes: ['ro', 'nosuid', 'nodev', 'noexec'] })])
  })

  test('M15 /run is no tmpfs', () => {
    expect(plan().mounts.filter(({ target }) => target.startsWith('/run'))).toEqual([])
  })

  test('masks and read-only paths come after every mount that a user asked for', () => {
    const kinds = plan({ mounts: [{ type: 'tmpfs', target: '/x' }] }).mounts.map(({ kind }) => kind)
    const last = kinds.lastIndexOf('fs')
    expect(Math.min(kinds.indexOf('mask'), kinds.indexOf('readonly'))).toBeGreaterThan(last)
  })

  test('every mount that RUN can write to, but for kernel file systems, refuses devices', () => {
    const mounts = [
      { type: 'tmpfs', target: '/t' },
      { type: 'cache', target: '/c', directory: '/d', path: '', writable: true },
      { type: 'bind', target: '/b', directories: ['/d'], path: '', writable: true },
      { type: 'file', target: '/f', data: Buffer.from(''), mode: 0o755, uid: 0, gid: 0 },
    ] as const
    for (const mount of plan({ mounts }).mounts) {
      if ('attributes' in mount && mount.target !== '/dev/pts') expect(mount.attributes).toContain('nodev')
    }
  })

  test('network: default and host share the host’s with its resolvers, none has neither', () => {
    expect(plan().namespaces).not.toContain('net')
    expect(plan({ network: 'none' }).namespaces).toContain('net')
    expect(text(plan(), '/etc/resolv.conf')).toContain('nameserver 10.0.0.1')
    expect(text(plan({ network: 'none' }), '/etc/resolv.conf')).toBe('# --network=none\n')
  })

  test('A14, PATH and repeated names in the environment', () => {
    expect(plan()).toMatchObject({ env: ['PATH=/usr/bin:/bin', 'A=2', 'HOME=/'], path: ['/usr/bin', '/bin'] })
  })

  test('R6 limits', () => {
    expect(plan().rlimits).toContainEqual({ resource: 7, soft: 1024n, hard: 4096n })
    expect(plan({ settings: processSettings({ ulimits: [{ name: 'nofile', soft: -1, hard: -1 }] }) }).rlimits).toContainEqual({
      resource: 7,
      soft: (1n << 64n) - 1n,
      hard: (1n << 64n) - 1n,
    })
    expect(() => plan({ settings: processSettings({ ulimits: [{ name: 'nofiles', soft: 1, hard: 1 }] }) })).toThrow(
      expect.objectContaining({ code: 'ULIMIT_INVALID' }),
    )
  })

  test('in a user namespace: userxattr, the host’s /sys, no gid 5', () => {
    const made = plan({}, { userNamespace: true, setgroups: false, ids: parseIdMap('0 1000 1', '0 1000 1') })
    expect(made.root.options).toBe('userxattr,volatile')
    expect(at(made, '/sys')).toEqual([expect.objectContaining({ kind: 'bind', source: '/sys', flags: ['plain', 'keep', 'recursive'] })])
    expect(made.setgroups).toBe(false)
    expect(optionsOf(made, '/dev/pts')).not.toContain('gid=5')
  })

  test('M9 a secret is noexec unless its mode has x bits', () => {
    const file = (mode: number) =>
      at(plan({ mounts: [{ type: 'file', target: '/s', data: Buffer.from('x'), mode, uid: 0, gid: 0 }] }), '/s')[0]
    expect(file(0o400)).toMatchObject({ attributes: ['ro', 'nosuid', 'nodev', 'noexec'] })
    expect(file(0o500)).toMatchObject({ attributes: ['ro', 'nosuid', 'nodev'] })
  })

  test('cgroup parent and shm size', () => {
    expect(plan({ settings: processSettings({ cgroupParent: '/builds' }) }).oomCounter).toBe(
      '/sys/fs/cgroup/builds/tbuild-1-1/memory.events',
    )
    expect(plan({ settings: processSettings({ cgroupParent: '/builds' }) }).cgroups).toEqual(['/sys/fs/cgroup/builds/tbuild-1-1'])
    expect(optionsOf(plan({ settings: processSettings({ shmSize: 123 }) }), '/dev/shm')).toContain('size=123')
  })

  test.each([{ args: [] }, { cwd: 'relative' }, { args: ['a\0b'] }, { rootfs: { lower: [], upper: '/u', work: '/w' } }])(
    'an invalid spec is refused: %j',
    (more) => {
      expect(() => plan(more)).toThrow(expect.objectContaining({ code: 'EXEC_INVALID' }))
    },
  )
})

describe('sortMounts', () => {
  test('M13 parents precede children, equal depths keep their order', () => {
    const sorted = sortMounts(['/a/b/c', '/z', '/a', '/a/b', '//y/'].map((target) => ({ target }))).map(({ target }) => target)
    expect(sorted).toEqual(['/z', '/a', '/y', '/a/b', '/a/b/c'])
  })
  test.each(['/', '', '/..', '/proc', '/proc/', '/x/../proc/self', '/sys/a', '/a\0'])('M3 target %j is refused', (target) => {
    expect(() => sortMounts([{ target }])).toThrow(expect.objectContaining({ code: 'MOUNT_TARGET_INVALID' }))
  })
  test('/process is not /proc', () => {
    expect(sortMounts([{ target: '/process' }])).toEqual([{ target: '/process' }])
  })
})

describe('the wire form', () => {
  const enumOf = (name: string, prefix: string) => {
    const header = readFileSync(join(import.meta.dirname, '../../../runner/plan.h'), 'utf8')
    const [, body = ''] = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(header) ?? []
    return Object.fromEntries(
      [...body.matchAll(new RegExp(`${prefix}_(\\w+) = (\\d+)`, 'g'))].map(([, key = '', value]) => [key.toLowerCase(), Number(value)]),
    )
  }

  test('the runner has the same numbers for records and flags', () => {
    expect(enumOf('record_kind', 'REC')).toEqual(Object.fromEntries(Object.entries(RECORDS).map(([name, { kind }]) => [name, kind])))
    expect(enumOf('mount_flag', 'MOUNT')).toEqual(MOUNT_FLAGS)
  })

  test('words and lists keep their bytes and their order', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.string().filter((word) => !word.includes('\0')),
          { minLength: 1 },
        ),
        (args) => {
          const words = args.map((word) => Buffer.from(word).toString('latin1'))
          expect(readRecords(encodePlan(plan({ args }))).find(({ name }) => name === 'args')?.values).toEqual({ words })
        },
      ),
    )
  })

  test('each part of a plan stands in a record by its name', () => {
    const made = plan({ mounts: [{ type: 'file', target: '/s', data: Buffer.from('secret'), mode: 0o440, uid: 3, gid: 4 }] })
    const records = readRecords(encodePlan(made))
    expect(records.slice(0, 6).map(({ name }) => name)).toEqual(['root', 'process', 'groups', 'args', 'env', 'path'])
    expect(records[0]?.values.layers).toEqual(made.root.lower.toReversed())
    expect(records[1]?.values).toMatchObject({ hostname: made.hostname, cwd: made.cwd, uid: String(made.user.uid), skipSetgroups: '0' })
    expect(records.filter(({ name }) => name === 'file').at(-1)?.values).toEqual({
      ...{ target: '/s', attributes: '15', flags: '2', mode: String(0o440), uid: '3', gid: '4', data: 'secret' },
    })
    expect(records.filter(({ values }) => 'target' in values)).toHaveLength(made.mounts.length)
  })
})
