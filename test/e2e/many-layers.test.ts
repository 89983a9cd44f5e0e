import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { Sandboxes } from '../../src/solve/lazy-sandbox.ts'
import { layeredView } from '../../src/tree/view.ts'
import { layerWriter } from '../../src/tree/writer.ts'
import { describeWith } from '../support/needs.ts'
import { openWorkspace } from '../support/workspace.ts'
import { canRun, SandboxFixture } from './sandbox-fixture.ts'

/** overlayfs takes 500 lower directories; what is below them becomes an overlay of its own. */
describeWith(canRun, 'root and busybox-static')('roots of many layers', () => {
  let fixture: SandboxFixture
  const layers: string[] = []
  beforeAll(() => {
    fixture = new SandboxFixture()
    for (let index = 0; index < 1000; index += 1) {
      const layer = join(fixture.folder, `many-${index}`)
      mkdirSync(join(layer, 'd'), { recursive: true })
      writeFileSync(join(layer, 'last'), `${index}\n`)
      writeFileSync(join(layer, `d/f${index}`), '')
      layers.push(layer)
    }
    // Of what lies in the lower overlay: a file that goes, a directory that begins anew.
    const [first = '', second = ''] = layers
    writeFileSync(join(first, 'gone'), '')
    mkdirSync(join(second, 'anew'))
    writeFileSync(join(second, 'anew/old'), '')
    const writer = layerWriter(layers[450] as string, layeredView([first, second]))
    writer.whiteout('gone')
    writer.remove('anew')
    writer.directory('anew')
    writer.finish()
    writeFileSync(join(layers[450] as string, 'anew/new'), '')
  }, 60_000)
  afterAll(() => fixture?.remove(), 60_000)

  const show = 'cat /last; ls /d | wc -l; ls /gone /anew 2>&1'
  const seen = (count: number) => `${count - 1}\n${count}\nls: /gone: No such file or directory\n/anew:\nnew\n`

  // With the layer of busybox: the most that one overlay takes, one more, and the most of two.
  test.each([499, 500, 501, 998])('%d and the base: all are seen, removals count', async (count) => {
    const run = await fixture.run(show, { layers: layers.slice(0, count) })
    expect(run.out).toBe(seen(count))
  })

  test('changes land in the upper, mount points that were made are gone afterwards', async () => {
    const script = 'rm /d/f0 /d/f600; echo x > /d/new; mv /last /moved; chmod 700 /d/f1; mkdir /made'
    const mounts = [{ type: 'tmpfs', target: '/mount/point' }] as const
    const run = await fixture.run(script, { layers: layers.slice(0, 700), mounts })
    expect([run.code, run.err]).toEqual([0, ''])
    expect(run.changes.map((line) => line.split(' ', 3).join(' '))).toEqual([
      'd d 755',
      'd/f0 c 0',
      'd/f1 f 700',
      'd/f600 c 0',
      'd/new f 644',
      'last c 0',
      'made d 755',
      'moved f 644',
    ])
    expect(readdirSync(join(layers[0] as string, 'd'))).toEqual(['f0'])
  })

  test('a bind of them, read-only and writable', async () => {
    const bind = { type: 'bind', directories: layers.slice(0, 700), path: '' } as const
    const mounts = [
      { ...bind, target: '/r', writable: false },
      { ...bind, target: '/w', writable: true },
    ] as const
    const run = await fixture.run('cat /r/last /w/last; ls /r/gone /w/gone 2>&1; echo new > /w/last; cat /w/last /r/last', { mounts })
    expect(run.out).toBe('699\n699\nls: /r/gone: No such file or directory\nls: /w/gone: No such file or directory\nnew\n699\n')
  })

  test('more than two overlays take is refused by the sandbox, and a build runs it on a copy', async () => {
    const plain = Array.from({ length: 1000 }, (_, index) => join(fixture.folder, `plain-${index}`))
    for (const [index, layer] of plain.entries()) {
      mkdirSync(layer)
      writeFileSync(join(layer, index < 5 ? `f${index}` : 'last'), `${index}\n`)
    }
    const tooMany = { code: 'LAYERS_TOO_MANY', message: 'the root has 1001 layers, more than the 999 that the kernel stacks' }
    await expect(fixture.run('true', { layers: plain })).rejects.toMatchObject(tooMany)
    const notices: string[] = []
    const sandbox = new Sandboxes(fixture.folder).for({ onNotice: (message) => notices.push(message) })
    const bind = { type: 'bind', directories: plain, path: '', target: '/r', writable: false } as const
    const script = 'cat /last /r/f4; ls /; rm /f0; echo x > /new'
    const run = await fixture.run(script, { layers: plain, mounts: [bind], sandbox })
    expect(run.out.split('\n').filter((line) => /^(\d+|f\d|last)$/.test(line))).toEqual(['999', '4', 'f0', 'f1', 'f2', 'f3', 'f4', 'last'])
    expect(run.changes.map((line) => line.split(' ', 3).join(' '))).toEqual(['f0 c 0', 'new f 644'])
    // Others of the build are not copied.
    const next = await fixture.run('cat /last; grep -c ^overlay /proc/mounts', { layers: plain.slice(0, 10), sandbox })
    expect([next.out, notices]).toEqual(['9\n1\n', []])
  }, 60_000)
})

test('a docker archive of more layers than docker loads says so, an OCI one does not', () => {
  const space = openWorkspace()
  try {
    const files = Array.from({ length: 126 }, (_, index) => [`f${index}`, `${index}`] as const)
    const dockerfile = (count: number) =>
      `FROM scratch\n${files
        .slice(0, count)
        .map(([name]) => `COPY ${name} /\n`)
        .join('')}`
    const context = space.context({ ...Object.fromEntries(files), Dockerfile: dockerfile(126), less: dockerfile(125) })
    const noted = 'the image has 126 layers: a docker without the containerd image store loads at most 125'
    expect(space.build(['-o', `type=docker,dest=${space.path('a')}`, context]).stderr).toContain(noted)
    expect(space.build(['-o', `type=oci,dest=${space.path('b')}`, context]).stderr).not.toContain('at most 125')
    expect(space.build(['-f', join(context, 'less'), '-o', `type=docker,dest=${space.path('c')}`, context]).stderr).not.toContain(
      'at most 125',
    )
  } finally {
    space.remove()
  }
}, 120_000)
