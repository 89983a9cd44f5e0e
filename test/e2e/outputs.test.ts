import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sha256 } from '../../src/base/digest.ts'
import type { Index, Manifest } from '../../src/values/oci.ts'
import { readImage } from '../support/image-archive.ts'
import { testWith } from '../support/needs.ts'
import { validateLayout } from '../support/validate-layout.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

const MADE = `FROM busybox AS made
RUN mkdir -p /o/dir && echo 1 > /o/a && chown 7:8 /o/a && chmod 4755 /o/a && ln /o/a /o/b && ln -s /etc/passwd /o/l && mkfifo /o/p && \\
    touch -d '2001-02-03 04:05:06' /o/a && chmod 700 /o/dir && touch -d '2001-02-03 04:05:06' /o/dir
RUN echo gone > /o/gone
RUN rm /o/gone
`
const FILES = `${MADE}FROM scratch
COPY --from=made /o /o
`

let space: Workspace
beforeAll(() => {
  space = openWorkspace()
}, 300_000)
afterAll(() => space.remove())

const inLayout = <T>(directory: string, digest: string) =>
  JSON.parse(readFileSync(join(directory, 'blobs/sha256', digest.slice(7)), 'utf8')) as T

/** An OCI tar unpacked and checked by the oracle; its index.json. */
async function layoutOf(archive: string): Promise<{ directory: string; index: Index }> {
  const directory = `${archive}.d`
  mkdirSync(directory)
  execFileSync('tar', ['-xf', archive, '-C', directory])
  await validateLayout(directory)
  return { directory, index: JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8')) as Index }
}

describe('files', () => {
  test('-o DIR: links, modes and times are kept, files belong to the caller, what is there is merged with', () => {
    const out = space.path('dir')
    mkdirSync(join(out, 'o'), { recursive: true })
    writeFileSync(join(out, 'keep'), 'kept')
    writeFileSync(join(out, 'o/dir'), 'in the way')
    mkdirSync(join(out, 'o/a'))
    space.build(['-o', out, space.context({ Dockerfile: FILES })])
    const a = statSync(join(out, 'o/a'))
    const [uid, gid] = [process.getuid?.(), process.getgid?.()]
    expect([a.mode & 0o7777, a.uid, a.gid, a.nlink, a.mtimeMs]).toEqual([0o4755, uid, gid, 2, Date.UTC(2001, 1, 3, 4, 5, 6)])
    expect(statSync(join(out, 'o/b')).ino).toBe(a.ino)
    expect(readlinkSync(join(out, 'o/l'))).toBe('/etc/passwd')
    expect(lstatSync(join(out, 'o/p')).isFIFO()).toBe(true)
    const dir = statSync(join(out, 'o/dir'))
    expect([dir.isDirectory(), dir.mode & 0o7777, dir.mtimeMs]).toEqual([true, 0o700, Date.UTC(2001, 1, 3, 4, 5, 6)])
    expect(readFileSync(join(out, 'keep'), 'utf8')).toBe('kept')
    expect(readdirSync(join(out, 'o'))).toEqual(['a', 'b', 'dir', 'l', 'p'])
  }, 60_000)

  test('-o - is a flat tar with the owners of the image and no whiteouts', () => {
    const tar = space.build(['-o', 'type=tar,dest=-', space.context({ Dockerfile: MADE })])
    const path = space.path('flat.tar')
    space.build(['-o', `type=tar,dest=${path}`, space.context({ Dockerfile: MADE })])
    expect(Buffer.byteLength(tar.stdout)).toBeGreaterThan(1000)
    const listed = execFileSync('tar', ['-tvf', path, '--numeric-owner'], { encoding: 'utf8' }).split('\n')
    expect(listed.find((line) => line.endsWith(' o/a'))).toMatch(/^-rwsr-xr-x 7\/8 /)
    expect(listed.find((line) => line.includes(' o/b '))).toMatch(/^h.* link to o\/a$/)
    expect(listed.filter((line) => /\.wh\.|gone/.test(line))).toEqual([])
  }, 60_000)

  test('several platforms are folders, or one directory when nothing stands twice', () => {
    const dockerfile = 'FROM scratch\nARG TARGETARCH\nCOPY <<EOF /$TARGETARCH\n$TARGETARCH\nEOF\n'
    const context = space.context({ Dockerfile: dockerfile })
    const both = ['--platform', 'linux/amd64,linux/arm64', context]
    space.build(['-o', space.path('split'), ...both])
    expect(readdirSync(space.path('split'))).toEqual(['linux_amd64', 'linux_arm64'])
    expect(readFileSync(space.path('split/linux_arm64/arm64'), 'utf8')).toBe('arm64\n')
    space.build(['-o', `type=local,platform-split=false,dest=${space.path('one')}`, ...both])
    expect(readdirSync(space.path('one'))).toEqual(['amd64', 'arm64'])
    space.build(['-o', `type=tar,dest=${space.path('split.tar')}`, ...both])
    const members = execFileSync('tar', ['-tf', space.path('split.tar')], { encoding: 'utf8' })
    expect(members).toBe('linux_amd64/\nlinux_amd64/amd64\nlinux_arm64/\nlinux_arm64/arm64\n')
    const same = space.context({ Dockerfile: 'FROM scratch\nCOPY <<EOF /same\nx\nEOF\n' })
    const refused = space.run(['-o', `type=local,platform-split=false,dest=${space.path('two')}`, ...both.slice(0, 2), same])
    expect(refused.stderr).toContain('code: EXPORT_OVERWRITE')
    expect(existsSync(space.path('two'))).toBe(false)
  }, 60_000)

  test('the destination is a file: refused', () => {
    writeFileSync(space.path('file'), '')
    const { status, stderr } = space.run(['-o', space.path('file'), space.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })])
    expect([status, stderr.includes('code: EXPORT_DEST_NOT_DIRECTORY')]).toEqual([1, true])
  }, 60_000)
})

describe('images', () => {
  test('several outputs at once hold the same image', async () => {
    const context = space.context({ Dockerfile: FILES })
    const outputs = ['type=oci,dest=a.tar', 'type=docker,dest=b.tar', 'type=oci,tar=false,dest=c', 'type=local,dest=d', 'type=cacheonly']
    const options = outputs.flatMap((output) => ['-o', output.replace('dest=', `dest=${space.path('several-')}`)])
    space.build([...options, '-t', 'several:1', '--metadata-file', space.path('several.json'), context])
    const docker = readImage(space.path('several-b.tar'))
    expect(readImage(space.path('several-a.tar')).config).toEqual(docker.config)
    await validateLayout(space.path('several-c'))
    expect(readFileSync(space.path('several-d/o/a'), 'utf8')).toBe('1\n')
    const metadata = JSON.parse(readFileSync(space.path('several.json'), 'utf8'))
    const index = JSON.parse(readFileSync(space.path('several-c/index.json'), 'utf8')) as Index
    expect(Object.keys(metadata)).toEqual([
      'containerimage.config.digest',
      'containerimage.descriptor',
      'containerimage.digest',
      'image.name',
    ])
    expect(metadata['containerimage.digest']).toBe(index.manifests[0]?.digest)
    expect(metadata['containerimage.descriptor']).toMatchObject({
      digest: index.manifests[0]?.digest,
      mediaType: index.manifests[0]?.mediaType,
    })
    expect(metadata['image.name']).toBe('docker.io/library/several:1')
  }, 60_000)

  test('media types, compression and its force, names of an output', async () => {
    const context = space.context({ Dockerfile: 'FROM busybox\nCOPY Dockerfile /\n' })
    const layers = async (name: string, options: string) => {
      space.build(['-o', `type=oci,dest=${space.path(name)},${options}`, context])
      const { directory, index } = await layoutOf(space.path(name))
      const [entry] = index.manifests
      const manifest = inLayout<Manifest>(directory, entry?.digest as string)
      return {
        entry,
        manifest,
        types: manifest.layers.map(({ mediaType }) => mediaType.replace(/^application\/vnd\.[a-z.]*(layer|rootfs)\./, '')),
      }
    }
    expect((await layers('plain.tar', 'compression=uncompressed')).types).toEqual(['v1.tar+gzip', 'v1.tar'])
    expect((await layers('forced.tar', 'compression=uncompressed,force-compression=true')).types).toEqual(['v1.tar', 'v1.tar'])
    expect((await layers('gzip.tar', 'compression-level=9')).types).toEqual(['v1.tar+gzip', 'v1.tar+gzip'])
    const docker = await layers('docker.tar', 'oci-mediatypes=false,name=named:2')
    expect(docker.manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
    expect(docker.types).toEqual(['diff.tar.gzip', 'diff.tar.gzip'])
    expect(docker.entry?.annotations?.['io.containerd.image.name']).toBe('docker.io/library/named:2')
  }, 60_000)

  test('annotations of every level, and of one platform', async () => {
    const context = space.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const out = `type=oci,dest=${space.path('annotated.tar')},annotation.own=1,annotation-index.i=2`
    const levels = ['manifest[linux/arm64]:m=3', 'manifest-descriptor:md=4', 'index-descriptor:id=5', 'own=6']
    const options = ['--platform', 'linux/amd64,linux/arm64', '-o', out, ...levels.flatMap((level) => ['--annotation', level])]
    space.build([...options, '--iidfile', space.path('annotated.iid'), context])
    const { directory, index } = await layoutOf(space.path('annotated.tar'))
    expect(index.manifests[0]?.annotations).toMatchObject({ id: '5' })
    expect(readFileSync(space.path('annotated.iid'), 'utf8')).toBe(index.manifests[0]?.digest)
    const inner = inLayout<Index>(directory, index.manifests[0]?.digest as string)
    expect(inner.annotations).toEqual({ i: '2' })
    expect(inner.manifests.map(({ annotations }) => annotations)).toEqual([{ md: '4' }, { md: '4' }])
    const manifests = inner.manifests.map(({ digest }) => inLayout<Manifest>(directory, digest).annotations)
    expect(manifests).toEqual([{ own: '6' }, { m: '3', own: '6' }])
  }, 60_000)

  test.each([
    [['--annotation', 'index:a=1', '-o', 'type=oci,dest=-'], 'index annotations not supported for single platform export'],
    [['--annotation', 'manifest[linux/s390x]:a=1', '-o', 'type=oci,dest=-'], 'invalid annotation: no platform linux/s390x found in source'],
    [['--push'], '--push needs a tag'],
    [['-o', 'type=image,push=true'], 'tag is needed when pushing to registry'],
    [['-o', 'type=docker'], '--output type=docker needs dest=PATH'],
    [['-o', 'type=docker,dest=x', '--platform', 'linux/amd64,linux/arm64'], 'a docker archive holds one platform'],
    [['-o', 'type=image,rewrite-timestamp=true'], 'rewrite-timestamp changes what leaves the store'],
    [['-o', 'type=oci,dest=x,compression=zstd,oci-mediatypes=false'], '--output: compression=zstd conflicts with oci-mediatypes=false'],
    [['-o', 'out', '--iidfile', 'x'], 'local and tar exporters are incompatible with image ID file'],
    [['-o', 'type=oci,dest=x,destt=y'], 'unknown key "destt" of --output type=oci (did you mean dest?)'],
  ])(
    'refused before anything is built: %j',
    (options, message) => {
      const { status, stderr } = space.run([...options, space.context({ Dockerfile: 'FROM scratch\nRUN nothing\n' })], {
        env: { PATH: '/nowhere' },
      })
      expect(status).not.toBe(0)
      expect(stderr).toContain(message)
    },
    60_000,
  )

  test('without outputs, and with type=image alone, the image is in the store', () => {
    const context = space.context({ Dockerfile: 'FROM busybox\nLABEL a=1\n' })
    space.build(['-t', 'stored:1', context])
    space.build(['-o', 'type=image,name=stored:2', context])
    const ids = ['stored:1', 'stored:2'].map((name) => JSON.parse(space.inspect(name))[0].Id)
    expect(ids[0]).toBe(ids[1])
  }, 60_000)
})

/** A Docker to load into: `TBUILD_PEER` is the command that runs it, such as `docker` or `sudo docker`. */
const peer = process.env.TBUILD_PEER?.split(' ') ?? []
const withPeer = testWith(peer.length > 0, 'a docker, named by TBUILD_PEER')

describe('a docker archive', () => {
  testWith(existsSync('/usr/bin/skopeo'), 'skopeo')(
    'skopeo reads it and copies it',
    () => {
      const archive = space.path('skopeo.tar')
      space.build([
        '-t',
        'app:1',
        '-o',
        `type=docker,dest=${archive}`,
        space.context({ Dockerfile: 'FROM busybox\nCMD ["cat", "/etc/passwd"]\n' }),
      ])
      const config = execFileSync('skopeo', ['inspect', '--config', '--raw', `docker-archive:${archive}`])
      const image = readImage(archive)
      expect(JSON.parse(config.toString())).toEqual(image.config)
      execFileSync('skopeo', ['copy', '-q', `docker-archive:${archive}:app:1`, `oci:${space.path('skopeo-oci')}:1`])
      expect(sha256(config)).toMatch(/^sha256:/)
    },
    60_000,
  )

  // Set TBUILD_PEER to run it: no Docker is needed otherwise.
  withPeer(
    'docker load takes it and docker run runs it',
    () => {
      const [command = '', ...rest] = peer
      const docker = (...args: string[]) => execFileSync(command, [...rest, ...args], { encoding: 'utf8' })
      const name = `tbuild-e2e-load-${process.pid}:1`
      const dockerfile = 'FROM busybox\nRUN echo loaded > /x && rm /etc/passwd\nENTRYPOINT ["/bin/sh", "-c", "cat /x; ls /etc"]\n'
      const archive = space.path('load.tar')
      space.build(['-t', name, '-o', `type=docker,dest=${archive}`, space.context({ Dockerfile: dockerfile })])
      try {
        expect(docker('load', '-i', archive)).toContain(`Loaded image: ${name}`)
        expect(docker('run', '--rm', '--network', 'none', name)).toBe('loaded\ngroup\nhostname\nhosts\nmtab\nresolv.conf\n')
      } finally {
        docker('rmi', name)
      }
    },
    120_000,
  )
})
