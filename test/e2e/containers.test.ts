import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Finished, root, script } from '../support/cli.ts'
import { describeWith } from '../support/needs.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** What containers allow and forbid, made with unshare(1), setpriv(1) and mount(8). */
const suite = describeWith(process.getuid?.() === 0, 'root')
let workspace: Workspace
let busybox: string
beforeAll(() => {
  if (process.getuid?.() !== 0) return
  workspace = openWorkspace()
  busybox = script('busybox-layout.mjs').stdout.trim()
})
afterAll(() => workspace?.remove())

/** The command line on `store` below a shell's `setup`, which gets it as `"$@"`. */
function confined(setup: string, args: readonly string[], store = workspace.store): Finished {
  const base = `busybox=oci-layout://${busybox}`
  const command = [process.execPath, join(root, 'bin/tbuild.js'), '--root', store, '--build-context', base, '--progress', 'plain', ...args]
  const { status, stdout, stderr } = spawnSync('sh', ['-ec', setup, 'sh', ...command], { encoding: 'utf8', timeout: 120_000 })
  return { status, stdout, stderr }
}

const WITHOUT_ADMIN = 'exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$@"'

/** A build that cannot begin: no stack, no protocol of the runner's, status 1. */
function expectRefused(finished: Finished, code: string, hint: RegExp): void {
  expect(finished).toMatchObject({ status: 1, stderr: expect.stringContaining(`\ncode: ${code}\n`) })
  expect(finished.stderr).toMatch(/^ERROR: /m)
  expect(/^hint: (.*)$/m.exec(finished.stderr)?.[1]).toMatch(hint)
  expect(finished.stderr).not.toMatch(/^error \d+ /m)
}

suite('root without CAP_SYS_ADMIN', () => {
  const lines = 'FROM busybox\nRUN mkdir /d && touch /d/gone && touch /f && chown 33:44 /f\nRUN rm -r /d && mkdir /d && touch /d/new\n'

  test('builds in a user namespace that has all ids', () => {
    const archive = workspace.path('same.tar')
    const built = confined(WITHOUT_ADMIN, ['-o', `type=tar,dest=${archive}`, workspace.context({ Dockerfile: lines })])
    expect(built).toMatchObject({ status: 0, stderr: expect.not.stringContaining('single user id') })
    const listing = execFileSync('tar', ['-tvf', archive, '--numeric-owner'], { encoding: 'utf8' })
    expect(listing).toMatch(/^-rw-r--r-- 33\/44 .* f$/m)
    expect(listing).not.toContain('d/gone')
  })

  test('and root with it share a store, though neither reads the other’s marks of opaque directories', () => {
    const directory = workspace.context({ Dockerfile: `${lines}FROM busybox\nCOPY --from=0 /d /d\nRUN ls /d > /seen\n` })
    const seen = (setup: string) => {
      const out = workspace.path(`out-${Math.random()}`)
      expect(confined(setup, ['-o', out, directory])).toMatchObject({ status: 0 })
      return execFileSync('sh', ['-c', 'cat seen; ls d'], { cwd: out, encoding: 'utf8' })
    }
    expect([seen(WITHOUT_ADMIN), seen('exec "$@"'), seen(WITHOUT_ADMIN)]).toEqual(Array(3).fill('new\nnew\n'))
  })

  test('nor CAP_SETUID builds with the one id that is left, and says why', () => {
    const built = confined(WITHOUT_ADMIN.replaceAll('-sys_admin', '-sys_admin,-setuid'), [
      workspace.context({ Dockerfile: 'FROM busybox\nRUN id -u\n' }),
    ])
    expect(built).toMatchObject({ status: 0, stderr: expect.stringMatching(/^building with a single user id: root has no CAP_SETUID/m) })
  })

  test('what lies beside an output directory is not taken for the store’s, whatever they are called', () => {
    const folder = workspace.context({ owners: 'mine' })
    const context = workspace.context({ Dockerfile: 'FROM busybox\nRUN echo > /f; chown 5:5 /f\n' })
    const setup = WITHOUT_ADMIN.replaceAll('-sys_admin', '-sys_admin,-setuid')
    expect(confined(setup, ['-o', join(folder, 'fs'), context])).toMatchObject({ status: 0 })
    expect(readFileSync(join(folder, 'owners'), 'utf8')).toBe('mine')
  })

  test('nor CAP_SETFCAP is told of that', () => {
    const without = WITHOUT_ADMIN.replaceAll('-sys_admin', '-sys_admin,-setfcap')
    expectRefused(confined(without, [workspace.context({ Dockerfile: 'FROM busybox\nRUN id -u\n' })]), 'USER_NAMESPACE', /CAP_SETFCAP/)
  })
})

suite('a container that refuses', () => {
  const context = () => workspace.context({ Dockerfile: 'FROM busybox\nRUN --mount=type=tmpfs,target=/t true\n' })

  test('user namespaces', () => {
    const limited = `exec unshare -U -r sh -ec 'echo 0 > /proc/sys/user/max_user_namespaces; ${WITHOUT_ADMIN}' sh "$@"`
    expectRefused(confined(limited, [context()], join(workspace.folder, 'refused')), 'USER_NAMESPACE', /user\.max_user_namespaces/)
  })

  test('another /proc, because parts of its own are hidden', () => {
    const masked = `exec unshare -m sh -ec 'mount -t tmpfs none /proc/scsi || mount -t tmpfs none /proc/tty; ${WITHOUT_ADMIN}' sh "$@"`
    expectRefused(confined(masked, [context()]), 'SANDBOX_SETUP', /systempaths=unconfined/)
  })

  test('to be without /proc', () => {
    const bare = `exec unshare -m sh -ec 'mount -t tmpfs none /proc; exec "$@"' sh "$@"`
    expectRefused(confined(bare, [context()]), 'PROC_MISSING', /mount \/proc/)
  })
})

suite('a store on an overlay', () => {
  /** As a container whose store is on no volume: `"$@"` is run with TBUILD_ROOT on an overlay of this test. */
  const onOverlay = (more = 'exec "$@"') => {
    const folder = workspace.path('overlay')
    for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(folder, name), { recursive: true })
    return `exec unshare -m sh -ec 'cd ${folder}; mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged; ${more}' sh "$@"`
  }
  const store = () => join(workspace.path('overlay'), 'merged/store')
  const lines = `FROM busybox AS first
RUN mkdir /d && echo 1 > /d/one && echo 2 > /d/two && ln /d/one /d/again && chown 33:44 /d/two
RUN rm /d/one && echo 3 > /d/three && rm -r /var && mkdir /var
FROM first
COPY --from=first /d /copied
RUN --mount=type=cache,target=/c --mount=type=bind,from=first,source=/d,target=/b,rw cat /b/three /copied/* > /seen; touch /b/x /c/x; rm /bin/ls
`

  test('makes the same image as elsewhere, and says once where a faster place is', () => {
    const context = workspace.context({ Dockerfile: lines })
    const image = (setup: string, root: string) => {
      const [iid, archive] = [workspace.path(`iid-${Math.random()}`), workspace.path(`${Math.random()}.tar`)]
      const args = [
        '--iidfile',
        iid,
        '--build-arg',
        'SOURCE_DATE_EPOCH=0',
        '-o',
        `type=oci,dest=${archive},rewrite-timestamp=true`,
        context,
      ]
      const built = confined(setup, args, root)
      expect(built).toMatchObject({ status: 0 })
      return { iid: readFileSync(iid, 'utf8'), stderr: built.stderr }
    }
    const elsewhere = image('exec "$@"', workspace.store)
    const here = image(onOverlay(), store())
    expect(here.iid).toBe(elsewhere.iid)
    expect(here.stderr.match(/^the store .* lies on an overlay.* --root DIR$/gm)).toHaveLength(1)
    const again = image(onOverlay(), store())
    expect(again.iid).toBe(elsewhere.iid)
    expect(again.stderr).not.toContain('lies on an overlay')
    expect(image(onOverlay(WITHOUT_ADMIN), store()).iid).toBe(elsewhere.iid)
  }, 120_000)

  test('with one id, what a USER changed or made has the owner that it has elsewhere', () => {
    const steps = `FROM busybox
RUN mkdir -m 777 -p /shared/deep /shared/gone && echo 1 > /shared/f && echo 1 > /shared/anew && chmod 666 /shared/*f && chmod 777 /shared /shared/deep /shared/gone && chown 5:5 /shared/deep
USER 1000:1001
RUN echo 2 >> /shared/f; rm /shared/anew; echo 2 > /shared/anew; echo > /shared/deep/new; rm -r /shared/gone; mkdir -p /tmp/own
`
    const listing = (setup: string, root: string) => {
      const archive = workspace.path(`${Math.random()}.tar`)
      expect(confined(setup, ['-o', `type=tar,dest=${archive}`, workspace.context({ Dockerfile: steps })], root)).toMatchObject({
        status: 0,
      })
      const text = execFileSync('tar', ['-tvf', archive, '--numeric-owner', '--exclude=bin/*'], { encoding: 'utf8' })
      return text.split('\n').map((line) => line.replace(/ +\d+ \d{4}-.*\d\d:\d\d /, ' '))
    }
    const expected = listing('exec "$@"', workspace.store)
    expect(expected).toEqual(
      expect.arrayContaining(['-rw-rw-rw- 0/0 shared/f', '-rw-r--r-- 1000/1001 shared/deep/new', 'drwxrwxrwx 5/5 shared/deep/']),
    )
    expect(listing(onOverlay(WITHOUT_ADMIN.replaceAll('-sys_admin', '-sys_admin,-setuid')), store())).toEqual(expected)
  }, 120_000)
})

suite('isolation chroot', () => {
  /** What Docker's default seccomp profile leaves of it. */
  const nothing = `exec unshare -U -r sh -ec 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"' sh "$@"`
  const lines =
    'FROM busybox\nRUN --mount=type=secret,id=s cat /run/secrets/s > /got; echo 1 > /one; chown 0:0 /one\nRUN rm /one /bin/ls; mkdir /d\n'
  const secret = () => ['--secret', `id=s,src=${join(workspace.context({ s: 'hidden' }), 's')}`]

  test('builds without namespaces what is built with them, by root without CAP_SYS_ADMIN, and warns', () => {
    const context = workspace.context({ Dockerfile: lines })
    const args = [
      ...secret(),
      '--build-arg',
      'SOURCE_DATE_EPOCH=0',
      '-o',
      `type=oci,dest=${workspace.path('x.tar')},rewrite-timestamp=true`,
    ]
    const image = (setup: string, ...more: string[]) => {
      const iid = workspace.path(`iid-${Math.random()}`)
      const built = confined(setup, ['--iidfile', iid, ...args, ...more, context])
      expect(built).toMatchObject({ status: 0 })
      return { iid: readFileSync(iid, 'utf8'), stderr: built.stderr }
    }
    const usual = image('exec "$@"')
    // The key knows nothing of it.
    expect(image('exec "$@"', '--isolation', 'chroot').stderr).not.toMatch(/isolation chroot/)
    const chroot = image(WITHOUT_ADMIN, '--isolation=chroot')
    expect(chroot.iid).toBe(usual.iid)
    expect(chroot.stderr.match(/^isolation chroot: .*can leave its root/gm)).toHaveLength(1)
  }, 60_000)

  test('is not for whoever is not root, nor where devices cannot be made', () => {
    const context = workspace.context({ Dockerfile: 'FROM busybox\nRUN true\n' })
    expectRefused(confined('exec setpriv --reuid 12345 "$@"', ['--isolation=chroot', context], '/tmp/none'), 'ISOLATION', /as root/)
    expectRefused(confined(nothing, ['--isolation=chroot', context], join(workspace.folder, 'mknod')), 'ISOLATION', /CAP_MKNOD/)
    const without = WITHOUT_ADMIN.replaceAll('-sys_admin', '-sys_admin,-sys_chroot')
    expectRefused(confined(without, ['--isolation=chroot', '--no-cache', context]), 'SANDBOX_SETUP', /CAP_SYS_CHROOT/)
  })

  test('none is refused, with the reason', () => {
    const refused = workspace.run(['--isolation=none', workspace.context({ Dockerfile: 'FROM busybox\n' })])
    expect(refused).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/--isolation=none is not supported\n\nhint: .*overwrite those of this machine/),
    })
  })
})

suite('a volume of a container', () => {
  test.each(['777', '1777'])('of mode %s holds the store of each user in a directory of its own', (mode) => {
    const volume = workspace.path(`volume-${mode}`)
    mkdirSync(volume)
    execFileSync('chmod', [mode, volume])
    const context = workspace.context({ Dockerfile: 'FROM busybox\nRUN true\n' })
    expect(confined('exec "$@"', [context], volume)).toMatchObject({ status: 0 })
    expect(execFileSync('stat', ['-c', '%a %u', join(volume, 'tbuild-0')], { encoding: 'utf8' })).toBe('700 0\n')
  })
})
