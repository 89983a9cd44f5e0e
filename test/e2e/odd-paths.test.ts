import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { readImage } from '../support/image-archive.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** What overlayfs, mount options, CSV and shells give a meaning to, in every path that a build is given: the store, TMPDIR, contexts, outputs, secrets. */
const ODD = 'a b\\c:d,e\nf=g\'h"i*?[j]%20ü\u{1f600}'

let around = ''
let workspace: Workspace
beforeAll(() => {
  around = mkdtempSync(join(tmpdir(), 'tbuild-odd-'))
  const odd = join(around, ODD)
  mkdirSync(odd)
  workspace = openWorkspace(odd)
}, 300_000)
afterAll(() => rmSync(around, { recursive: true, force: true }), 120_000)

/** As a field of CSV. */
const quoted = (field: string) => `"${field.replaceAll('"', '""')}"`

const build = (args: readonly string[]) => workspace.build(args, { env: { TMPDIR: workspace.folder } })

test('every kind of step and mount', () => {
  const named = workspace.context({ file: 'named\n' })
  const context = workspace.context({
    file: 'context\n',
    secret: 'hidden',
    Dockerfile: `FROM busybox AS made
RUN mkdir /made && echo made > /made/file
FROM busybox
COPY file /
COPY --link file /linked
COPY --from=named file /named
COPY --from=made /made /made
WORKDIR /w/d
RUN --mount=type=cache,target=/cache --mount=type=bind,target=/context --mount=type=bind,from=made,target=/m,rw --mount=type=secret,id=s --mount=type=tmpfs,target=/t cat /context/file /m/made/file /named /linked > all; touch /cache/x /m/y /t/z; cat /run/secrets/s | wc -c >> all
RUN --mount=type=cache,target=/cache ls /cache >> all
FROM scratch AS out
COPY --from=1 /w/d/all /
`,
  })
  const given = [
    '--build-context',
    `named=${named}`,
    '--secret',
    `id=s,${quoted(`src=${join(context, 'secret')}`)}`,
    '-f',
    join(context, 'Dockerfile'),
  ]
  const iidfile = workspace.path('iid')
  build([...given, '-o', `type=local,${quoted(`dest=${workspace.path('local')}`)}`, context])
  expect(readdirSync(workspace.path('local'))).toEqual(['all'])
  expect(readFileSync(join(workspace.path('local'), 'all'), 'utf8')).toBe('context\nmade\nnamed\ncontext\n6\nx\n')

  const archive = workspace.path('archive.tar')
  const metadata = workspace.path('metadata')
  build([...given, '-o', `type=oci,${quoted(`dest=${archive}`)}`, '--metadata-file', metadata, '--iidfile', iidfile, context])
  expect(readFileSync(iidfile, 'utf8')).toMatch(/^sha256:/)
  expect(readImage(archive).layers.length).toBe(1)
  expect(JSON.parse(readFileSync(metadata, 'utf8'))).toHaveProperty(['containerimage.digest'])
  build([...given, '-o', `type=docker,${quoted(`dest=${workspace.path('docker.tar')}`)}`, context])
  build([...given, '-o', `type=oci,tar=false,${quoted(`dest=${workspace.path('layout')}`)}`, context])
  expect(readdirSync(workspace.path('layout')).sort()).toEqual(['blobs', 'index.json', 'oci-layout'])
}, 120_000)

test('caches in directories, images in layouts', () => {
  const context = workspace.context({ Dockerfile: 'FROM busybox\nRUN echo cached > /f\n' })
  const cache = quoted(`dest=${workspace.path('cache')}`)
  build(['--cache-to', `type=local,${cache},mode=max`, context])
  const again = build([
    '--cache-from',
    `type=local,${quoted(`src=${workspace.path('cache')}`)}`,
    '--root',
    workspace.path('second'),
    context,
  ])
  expect(again.stderr).toContain('CACHED')
  build(['-o', `type=oci,tar=false,${quoted(`dest=${workspace.path('image')}`)}`, context])
  const onIt = workspace.context({ Dockerfile: 'FROM mine\nRUN test "$(cat /f)" = cached\n' })
  build(['--build-context', `mine=oci-layout://${workspace.path('image')}`, onIt])
}, 120_000)
