import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { readImage } from '../support/image-archive.ts'
import { applyLayers, describeTree } from '../support/image-tree.ts'
import { haveTools, inspectWithSkopeo, PEER, runWithDocker, unpackWithUmoci } from '../support/interop.ts'
import { describeWith, testWith } from '../support/needs.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** Skopeo, umoci, GNU tar, Python and docker read what tbuild writes. The samples do the same in samples.test.ts. */
let workspace: Workspace
let archive = ''

const LONG = `${'directory-of-some-length/'.repeat(12)}${'n'.repeat(200)}`
const CAPABILITY = Buffer.from('0100000280000000000000000000000000000000', 'hex')

/** A tar in the context, since git keeps no such files: ADD unpacks it. */
const MAKE_ODD = `
import io, sys, tarfile
with tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT, encoding='utf-8', errors='surrogateescape') as tar:
    def add(name, data=b'x', **fields):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        for key, value in fields.items(): setattr(info, key, value)
        tar.addfile(info, io.BytesIO(data))
    add('odd/not-utf8-\\udcff\\udcfe')
    add('odd/${LONG}')
    add('odd/big-ids', uid=3000000000, gid=2500000)
    add('odd/new\\nline')
    add('odd/setuid', mode=0o4755)
    add('odd/fifo', b'', type=tarfile.FIFOTYPE)
    add('odd/null', b'', type=tarfile.CHRTYPE, devmajor=1, devminor=3)
    add('odd/hard', b'', type=tarfile.LNKTYPE, linkname='odd/setuid', mode=0o4755)
    add('odd/soft', b'', type=tarfile.SYMTYPE, linkname='/' + 'far/' * 60)
    add('odd/old', mtime=-86400)
    add('odd/capable', mode=0o755, pax_headers={'SCHILY.xattr.security.capability': bytes.fromhex('${CAPABILITY.toString('hex')}').decode('utf-8', 'surrogateescape')})
`

const withTools = describeWith(process.getuid?.() === 0, 'root')

withTools('an image of odd files', () => {
  beforeAll(() => {
    workspace = openWorkspace()
    haveTools()
    const folder = workspace.context({
      Dockerfile: 'FROM busybox\nADD odd.tar /\nRUN rm /etc/group && mkdir /made && ln -s ../etc /made/link\nCMD ["cat", "/odd/big-ids"]\n',
    })
    execFileSync('python3', ['-c', MAKE_ODD, join(folder, 'odd.tar')])
    archive = workspace.path('odd.tar')
    workspace.build(['-t', 'odd:1', '--label', 'kind=odd', '-o', `type=oci,dest=${archive}`, folder])
    workspace.build(['-t', 'odd:1', '-o', `type=docker,dest=${workspace.path('odd-docker.tar')}`, folder])
  }, 600_000)
  afterAll(() => workspace.remove(), 120_000)

  test('skopeo inspects it', () => {
    expect(inspectWithSkopeo(archive)).toMatchObject({ Os: 'linux', Labels: { kind: 'odd' } })
    expect(inspectWithSkopeo(archive).Layers.length).toBe(3)
  })

  test('umoci unpacks the tree that tbuild made: type, mode, owner, content, link, xattr', () => {
    const ours = describeTree(applyLayers(readImage(archive).layers))
    expect([...unpackWithUmoci(archive)].sort()).toEqual([...ours].sort())
    expect(ours.get(`odd/${LONG}`)).toMatch(/^file 644 0:0 1 /)
    expect(ours.get('odd/big-ids')).toMatch(/^file 644 3000000000:2500000 /)
    expect(ours.get('odd/capable')).toContain(`security.capability=${CAPABILITY.toString('hex')}`)
    expect(ours.has('odd/not-utf8-\\xff\\xfe')).toBe(true)
    expect(ours.get('odd/null')).toBe('char 644 0:0 1:3')
    expect(ours.has('etc/group')).toBe(false)
  })

  test("Python's tarfile reads every member of the layer", () => {
    const layer = workspace.path('layer.tar.gz')
    const files = JSON.parse(
      execFileSync(
        'python3',
        [
          '-c',
          `import json, sys, tarfile
archive = tarfile.open(sys.argv[1])
blob = lambda digest: archive.extractfile('blobs/sha256/' + digest.split(':')[1])
index = json.load(archive.extractfile('index.json'))
manifest = json.load(blob(index['manifests'][0]['digest']))
open(sys.argv[2], 'wb').write(blob(manifest['layers'][1]['digest']).read())
layer = tarfile.open(sys.argv[2], errors='surrogateescape')
print(json.dumps({m.name.encode('utf-8', 'surrogateescape').decode('latin1'): [m.uid, m.gid, m.mode, m.linkname,
  sorted(m.pax_headers)] for m in layer}))`,
          archive,
          layer,
        ],
        { encoding: 'utf8' },
      ),
    ) as Record<string, [number, number, number, string, string[]]>
    expect(files['odd/big-ids']?.slice(0, 2)).toEqual([3000000000, 2500000])
    expect(files[`odd/${LONG}`]).toBeDefined()
    expect(files['odd/not-utf8-\xff\xfe']).toBeDefined()
    expect(files['odd/new\nline']).toBeDefined()
    expect(files['odd/setuid']?.[2]).toBe(0o4755)
    expect(files['odd/soft']?.[3]).toBe(`/${'far/'.repeat(60)}`)
    expect(files['odd/capable']?.[4]).toContain('SCHILY.xattr.security.capability')
  })

  test('skopeo converts the docker archive', () => {
    const target = workspace.path('converted')
    execFileSync('skopeo', ['copy', `docker-archive:${workspace.path('odd-docker.tar')}:odd:1`, `oci:${target}:1`], { stdio: 'pipe' })
    expect(JSON.parse(readFileSync(join(target, 'index.json'), 'utf8')).manifests.length).toBe(1)
  })

  // TBUILD_PEER=docker, or a wrapper that shares /tmp.
  const withDocker = testWith(PEER !== undefined, 'a docker, named by TBUILD_PEER')
  withDocker('docker loads and runs it', () => {
    expect(runWithDocker(workspace.path('odd-docker.tar'), 'odd:1')).toBe('x')
    const owner = ['stat', '-c', '%u:%g %a', '/odd/big-ids', '/odd/setuid']
    expect(runWithDocker(workspace.path('odd-docker.tar'), 'odd:1', owner)).toBe('3000000000:2500000 644\n0:0 4755\n')
  })
})
