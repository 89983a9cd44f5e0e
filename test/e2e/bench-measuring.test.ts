import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { ArchivedImage, layersOf } from '../../bench/check.ts'
import { Daemon } from '../../bench/daemon.ts'
import type { Commands, Peer } from '../../bench/peers/builder.ts'
import { Failure, Interrupted, Runner } from '../../bench/run.ts'
import { Site } from '../../bench/site.ts'
import { until } from '../support/processes.ts'

/** How `npm run bench` measures: with shell commands in place of builders. */
let folder: string
let runner: Runner
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tbuild-measuring-'))
  runner = new Runner(join(folder, 'run'), 60, new AbortController().signal)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const shell = (script: string): Commands => [['sh', '-c', script]]

function builder(name: string, more: Partial<Peer> = {}): Peer {
  return {
    ...{ name, version: '1', isPeer: true, notes: [], daemon: undefined, overhead: { seconds: 0, processors: 0 } },
    ...{ build: () => [], inspect: () => undefined, check: undefined, explain: undefined, remove: () => [], prune: () => [] },
    ...more,
  }
}

function siteOf(builders: readonly Peer[], rounds = 2): Site {
  const ground = {
    builders,
    runner,
    cleaner: runner,
    rounds,
    busybox: '',
    registry: '',
    mark: 'm',
    settle: () => {},
    say: () => {},
  }
  return new Site(ground, { name: 'load', unit: 'files' }, 10, join(folder, 'site'))
}

test('each round begins with another builder, and the first is not counted', async () => {
  const site = siteOf([builder('a'), builder('b')])
  const log = join(folder, 'order')
  await site.measure({ name: 'case', run: ({ name }, round) => shell(`echo ${round}${name} >> ${log}`), check: async () => {} })
  expect(readFileSync(log, 'utf8').split('\n').slice(0, -1)).toEqual(['0a', '0b', '1b', '1a', '2a', '2b'])
  expect(site.cases[0]).toMatchObject({ load: 'load', name: 'case', amount: 10, unit: 'files' })
  expect(Object.values(site.cases[0]?.outcomes ?? {}).map(({ samples }) => samples.length)).toEqual([2, 2])
})

describe('a builder', () => {
  test('that fails is shown as failed with its last lines and runs no more; the others go on', async () => {
    const site = siteOf([builder('broken'), builder('good')])
    await site.measure({
      name: 'case',
      run: ({ name }) => shell(name === 'good' ? 'true' : `echo ran >> ${folder}/ran; echo no space >&2; exit 3`),
      check: async () => {},
    })
    const { broken, good } = site.cases[0]?.outcomes ?? {}
    expect(broken).toEqual({ samples: [], failure: expect.stringMatching(/: 3\nno space$/) })
    expect(good?.samples).toHaveLength(2)
    expect(readFileSync(join(folder, 'ran'), 'utf8')).toBe('ran\n')
  })

  test('that gives a wrong result once has failed', async () => {
    const site = siteOf([builder('wrong')])
    await site.measure({
      name: 'case',
      run: () => shell('true'),
      check: async (_builder, round) => {
        if (round === 2) throw new Failure('wrong result: files: 3, not 4')
      },
    })
    expect(site.cases[0]?.outcomes.wrong?.failure).toBe('wrong result: files: 3, not 4')
  })

  test('that cannot do it takes no part', async () => {
    const site = siteOf([builder('cannot'), builder('can')])
    await site.measure({ name: 'case', run: ({ name }) => (name === 'can' ? shell('true') : undefined), check: async () => {} })
    expect(Object.keys(site.cases[0]?.outcomes ?? {})).toEqual(['can'])
  })

  test('is not charged with what its prefix takes', async () => {
    const site = siteOf([builder('reached', { overhead: { seconds: 100, processors: 100 } })], 1)
    await site.measure({ name: 'case', run: () => [['true'], ['true']], check: async () => {} })
    const [sample] = site.cases[0]?.outcomes.reached?.samples ?? []
    expect(Math.round((sample?.seconds ?? 0) / 100)).toBe(-2)
    expect(sample?.processors).toBe(0)
  })
})

test('a mistake of the bench is no failure of a builder', async () => {
  const site = siteOf([builder('a')])
  const check = async () => {
    throw new TypeError('a mistake')
  }
  await expect(site.measure({ name: 'case', run: () => shell('true'), check })).rejects.toThrow(TypeError)
})

describe('what a command used', () => {
  const busy = 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'

  test('are processors and memory of it and of what it started', async () => {
    const used = await runner.together(shell(`sh -c '${busy}'`))
    expect(used.processors).toBeGreaterThan(0.01)
    expect(used.memory).toBeGreaterThan(2 ** 18)
    expect(used.seconds).toBeGreaterThan(0)
  })

  test('of those that run at once is added up, and their time is the longest one’s', async () => {
    const used = await runner.together([...shell('sleep 1'), ...shell('sleep 1'), ...shell('sleep 1'), ...shell('sleep 1')])
    expect(used.seconds).toBeGreaterThanOrEqual(1)
    expect(used.processors).toBeLessThan(used.seconds)
  })

  test('is nothing when it is late', async () => {
    const impatient = new Runner(join(folder, 'late'), 1, new AbortController().signal)
    await expect(impatient.together(shell('sleep 600'))).rejects.toThrow(new Failure('not done after 1 s'))
  })

  test('is nothing when the bench is ended', async () => {
    const ending = new AbortController()
    const ended = new Runner(join(folder, 'ended'), 60, ending.signal).together(shell('sleep 600'))
    ending.abort()
    await expect(ended).rejects.toThrow(Interrupted)
  })

  test('of a daemon is read from its process', async () => {
    const child = spawn('sh', ['-c', `${busy}; echo done; read line`], { stdio: ['pipe', 'pipe', 'ignore'] })
    let isDone = false
    child.stdout.on('data', () => {
      isDone = true
    })
    await until(() => isDone, 60_000)
    const daemon = new Daemon(child.pid as number)
    expect(daemon.processors()).toBeGreaterThan(0)
    expect(daemon.memory()).toBeGreaterThan(2 ** 18)
    const ended = new Promise((resolve) => child.on('close', resolve))
    child.stdin.end()
    await ended
    expect([daemon.processors(), daemon.memory()]).toEqual([0, 0])
  })
})

describe('an archive', () => {
  /** An OCI archive of two layers, the upper one compressed. */
  function write(): ArchivedImage {
    const script = `
      mkdir -p lower/d upper/d image/blobs/sha256 && cd image
      echo one > ../lower/d/a; echo two > ../lower/d/b; echo three > ../upper/d/b; ln -s b ../upper/d/link
      tar -C ../lower -cf blobs/sha256/1 d; tar -C ../upper -czf blobs/sha256/2 d`
    const type = 'application/vnd.oci.image.layer.v1.tar'
    const layers = [
      { digest: 'sha256:1', mediaType: type },
      { digest: 'sha256:2', mediaType: `${type}+gzip` },
    ]
    return new ArchivedImage(runner, packed(script, { layers }))
  }

  function packed(script: string, manifest: object): string {
    writeFileSync(join(folder, 'make.sh'), `set -e; cd ${folder}; ${script}`)
    execFileSync('sh', [join(folder, 'make.sh')])
    writeFileSync(join(folder, 'image/blobs/sha256/3'), JSON.stringify(manifest))
    writeFileSync(join(folder, 'image/blobs/sha256/4'), JSON.stringify({ manifests: [{ digest: 'sha256:3' }] }))
    writeFileSync(join(folder, 'image/index.json'), JSON.stringify({ manifests: [{ digest: 'sha256:4' }] }))
    execFileSync('tar', ['-C', join(folder, 'image'), '-cf', join(folder, 'image.tar'), 'blobs', 'index.json'])
    return join(folder, 'image.tar')
  }

  test('has its files counted, and read from the uppermost layer that has them', async () => {
    const image = write()
    expect([await image.countFiles(), await image.countFilesOnTop()]).toEqual([3, 1])
    expect([await image.beginning('d/b', 5), await image.beginning('d/a', 3)]).toEqual(['three', 'one'])
    expect(await image.size('d/b')).toBe(4 + 6)
    await expect(image.beginning('d/c', 1)).rejects.toThrow(new Failure('d/c is not in what was exported'))
  })

  test('that is none is a failure', async () => {
    writeFileSync(join(folder, 'none.tar'), gzipSync('nothing'))
    await expect(new ArchivedImage(runner, join(folder, 'none.tar')).countFiles()).rejects.toThrow(Failure)
  })
})

test.each([
  ['[{"RootFS": {"Layers": ["a", "b"]}}]', 2],
  ['{"OCIv1": {"rootfs": {"diff_ids": ["a", "b", "c"]}}}', 3],
  ['[]', 0],
])('the layers in %s', (inspected, expected) => {
  expect(layersOf(inspected)).toBe(expected)
})
