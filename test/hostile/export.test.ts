import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { build } from '../../src/build.ts'
import type { BuildOptions, OutputSpec } from '../../src/build-options.ts'
import { filled } from '../../src/caller/sinks.ts'
import { exportLocal } from '../../src/export/local.ts'
import { exportTar } from '../../src/export/tar.ts'
import { fileSink } from '../../src/store/file-sink.ts'
import { layeredView } from '../../src/tree/view.ts'
import { startTestRegistry } from '../support/registry-server.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

let space: Workspace
beforeEach(() => {
  space = openWorkspace()
})
afterEach(() => space.remove())

/** A tree made by a shell script, to be exported. */
function tree(script: string) {
  const folder = space.path('tree')
  mkdirSync(folder)
  execFileSync('sh', ['-ec', script], { cwd: folder })
  return [{ view: layeredView([folder]), folder: undefined, epoch: undefined }]
}

describe('local export into a directory that someone prepared (buildkit 73c67671d)', () => {
  let out = ''
  let victim = ''
  beforeEach(() => {
    out = space.path('out')
    victim = space.path('victim')
    mkdirSync(out)
    mkdirSync(victim)
    writeFileSync(join(victim, 'file'), 'untouched')
    chmodSync(victim, 0o750)
  })
  const untouched = () => {
    expect(readdirSync(victim)).toEqual(['file'])
    expect(readFileSync(join(victim, 'file'), 'utf8')).toBe('untouched')
    expect(statSync(victim).mode & 0o7777).toBe(0o750)
  }

  test('a symlink where the image has a directory is replaced, nothing is written through it', async () => {
    symlinkSync(victim, join(out, 'etc'))
    symlinkSync('../victim', join(out, 'usr'))
    await exportLocal(tree('mkdir -m 777 etc usr; echo new > etc/file; echo new > usr/other'), out)
    untouched()
    expect(lstatSync(join(out, 'etc')).isDirectory()).toBe(true)
    expect(readFileSync(join(out, 'etc/file'), 'utf8')).toBe('new\n')
  })

  test('a symlink or hard link where the image has a file is replaced, and its target keeps content and mode', async () => {
    symlinkSync(join(victim, 'file'), join(out, 'a'))
    execFileSync('ln', [join(victim, 'file'), join(out, 'b')])
    symlinkSync('/nonexistent', join(out, 'c'))
    await exportLocal(tree('for f in a b c; do echo new > $f; chmod 4777 $f; done'), out)
    untouched()
    expect(statSync(join(victim, 'file')).mode & 0o7777).not.toBe(0o4777)
    expect(readFileSync(join(out, 'c'), 'utf8')).toBe('new\n')
  })

  test('a symlink of the image leads later files nowhere: absolute, upwards, through a loop', async () => {
    await exportLocal(tree(`ln -s ${victim} abs; ln -s ../victim up; ln -s loop loop; mkdir d; ln -s ../../victim d/e`), out)
    untouched()
    expect(lstatSync(join(out, 'abs')).isSymbolicLink()).toBe(true)
    // Once more over what is there now.
    await exportLocal([{ view: layeredView([space.path('tree')]), folder: undefined, epoch: undefined }], out)
    untouched()
  })

  test('a fifo or device in the way is replaced and never opened', async () => {
    execFileSync('mkfifo', [join(out, 'pipe')])
    await exportLocal(tree('echo new > pipe'), out)
    expect(readFileSync(join(out, 'pipe'), 'utf8')).toBe('new\n')
  })

  test('the folder of a platform is no symlink either', async () => {
    symlinkSync(victim, join(out, 'linux_amd64'))
    const [{ view }] = tree('echo new > file') as [ReturnType<typeof tree>[0]]
    await exportLocal([{ view, folder: 'linux_amd64', epoch: undefined }], out)
    untouched()
    expect(readFileSync(join(out, 'linux_amd64/file'), 'utf8')).toBe('new\n')
  })

  test('names that are no text, and 300 directories one in another', async () => {
    const script = `printf x > "$(printf '\\377\\376')"; printf y > "$(printf 'line\\nfeed')"; d=.; for i in $(seq 300); do d=$d/d; done; mkdir -p $d; echo deep > $d/f`
    await exportLocal(tree(script), out)
    expect(readdirSync(Buffer.from(out), { encoding: 'buffer' }).map((name) => name.toString('latin1'))).toEqual([
      'd',
      'line\nfeed',
      '\xff\xfe',
    ])
    expect(execFileSync('find', [out, '-name', 'f', '-exec', 'cat', '{}', '+'], { encoding: 'utf8' })).toBe('deep\n')
  })
})

test('a flat tar has no member outside, whatever the links say', async () => {
  await filled(fileSink(space.path('x.tar')), (sink) =>
    exportTar(tree('ln -s /etc abs; mkdir a; ln -s ../../.. a/up; echo 1 > a/f; ln a/f a/g'), sink),
  )
  const names = execFileSync('tar', ['-tf', space.path('x.tar')], { encoding: 'utf8' })
    .trim()
    .split('\n')
  expect(names).toEqual(['a/', 'a/f', 'a/g', 'a/up', 'abs'])
})

/** What was built is altered in the store (1.15: poisoned layers), and must not leave it as if it were not. */
describe('content altered in the store', () => {
  const dockerfile = 'FROM scratch\nCOPY file /file\n'

  function run(outputs: readonly OutputSpec[], more: Partial<BuildOptions> = {}) {
    const context = join(space.folder, 'context')
    if (!existsSync(context)) {
      mkdirSync(context)
      writeFileSync(join(context, 'Dockerfile'), dockerfile)
      writeFileSync(join(context, 'file'), 'content\n')
    }
    return build({ context, root: space.store, outputs, environment: { HOME: space.folder }, ...more })
  }

  const layers = () => join(space.store, 'v1/layers')
  const layerFile = () => {
    const [id = ''] = readdirSync(layers()).filter((name) => !name.endsWith('.json'))
    return join(layers(), id, 'fs/file')
  }
  const oci = (name: string, compression: 'gzip' | 'uncompressed'): OutputSpec => ({
    type: 'oci',
    dest: space.path(name),
    tar: true,
    compression,
  })

  test.each(['uncompressed', 'gzip'] as const)('a layer directory: LAYER_CHANGED, and no archive (%s)', async (compression) => {
    await run([oci('good.tar', 'uncompressed')])
    appendFileSync(layerFile(), 'poison')
    await expect(run([oci('bad.tar', compression)])).rejects.toMatchObject({ code: 'LAYER_CHANGED' })
    expect(existsSync(space.path('bad.tar'))).toBe(false)
    expect(readdirSync(space.folder).filter((name) => name.includes('.tmp'))).toEqual([])
  })

  test('a mode is enough', async () => {
    await run([oci('good.tar', 'uncompressed')])
    chmodSync(layerFile(), 0o4755)
    await expect(run([oci('bad.tar', 'uncompressed')])).rejects.toMatchObject({ code: 'LAYER_CHANGED' })
  })

  test('the layer is noticed when its times are rewritten, too', async () => {
    await run([oci('good.tar', 'uncompressed')])
    appendFileSync(layerFile(), 'poison')
    const output = { ...oci('bad.tar', 'uncompressed'), rewriteTimestamp: true, epoch: 5 } as OutputSpec
    await expect(run([output])).rejects.toMatchObject({ code: 'LAYER_CHANGED' })
    expect(existsSync(space.path('bad.tar'))).toBe(false)
  })

  function alterBlobs(): void {
    const blobs = join(space.store, 'v1/oci/blobs/sha256')
    for (const name of readdirSync(blobs)) {
      const path = join(blobs, name)
      const bytes = readFileSync(path)
      if (bytes[0] !== 0x1f) continue
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1
      chmodSync(path, 0o600)
      writeFileSync(path, bytes)
    }
  }

  test('a blob: BLOB_CORRUPT, and no archive', async () => {
    await run([oci('good.tar', 'gzip')])
    alterBlobs()
    await expect(run([oci('bad.tar', 'gzip')])).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    expect(existsSync(space.path('bad.tar'))).toBe(false)
  })

  test('a blob, pushed: the registry gets neither it nor a manifest', async () => {
    await run([oci('good.tar', 'gzip')])
    alterBlobs()
    const registry = await startTestRegistry()
    try {
      const pushed = run([{ type: 'image', push: true }], { tags: [`${registry.host}/poisoned:1`] })
      await expect(pushed).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
      expect([...registry.documents.keys()]).toEqual([])
      expect([...registry.blobs.values()].filter((blob) => blob[0] === 0x1f)).toEqual([])
    } finally {
      await registry.close()
    }
  }, 30_000)
})
