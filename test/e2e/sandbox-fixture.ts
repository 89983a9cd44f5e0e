import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRunnerSandbox, type RunnerSandbox } from '../../src/sandbox/runner.ts'
import type { ExecSpec, ExitStatus, Sandbox } from '../../src/sandbox/types.ts'
import { processSettings } from '../../src/values/process-settings.ts'

const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))

/** These tests make namespaces and mounts: they need root and a static busybox (Debian: busybox-static). */
export const canRun = process.getuid?.() === 0 && BUSYBOX !== undefined

export interface RunResult extends ExitStatus {
  readonly out: string
  readonly err: string
  /** `path type mode uid:gid` of everything in the upper, sorted; the root and the mount points that BuildKit leaves (dev, proc, sys) left out. */
  readonly changes: readonly string[]
  readonly upper: string
}

/** A busybox root as one layer, and fresh uppers above it. */
export class SandboxFixture {
  readonly folder = mkdtempSync(join(tmpdir(), 'tbuild-sandbox-'))
  readonly layer = join(this.folder, 'layer')
  readonly sandbox: RunnerSandbox
  #runs = 0

  constructor() {
    for (const name of ['bin', 'etc', 'root', 'run']) mkdirSync(join(this.layer, name), { recursive: true })
    execFileSync('cp', [realpathSync(BUSYBOX as string), join(this.layer, 'bin/busybox')])
    for (const applet of execFileSync(BUSYBOX as string, ['--list'], { encoding: 'utf8' })
      .trim()
      .split('\n')) {
      if (applet !== 'busybox') symlinkSync('busybox', join(this.layer, 'bin', applet))
    }
    mkdirSync(join(this.layer, 'tmp'))
    execFileSync('chmod', ['1777', join(this.layer, 'tmp')])
    writeFileSync(join(this.layer, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n')
    writeFileSync(join(this.layer, 'etc/group'), 'root:x:0:\nwheel:x:10:root\nbob:x:1000:\nstaff:x:50:bob\n')
    this.sandbox = createRunnerSandbox({ readRootFile: readTopmost })
  }

  /** A further layer on top of the busybox one, filled by a shell script that runs inside it on the host. */
  makeLayer(script: string): string {
    const directory = mkdtempSync(join(this.folder, 'layer-'))
    execFileSync('sh', ['-ec', script], { cwd: directory })
    return directory
  }

  spec(script: string, more: Partial<ExecSpec> & { readonly layers?: readonly string[] } = {}): ExecSpec {
    const run = join(this.folder, `run-${this.#runs++}`)
    const rootfs = { lower: [this.layer, ...(more.layers ?? [])], upper: join(run, 'upper'), work: join(run, 'work') }
    mkdirSync(rootfs.upper, { recursive: true })
    mkdirSync(rootfs.work)
    const { layers: _layers, ...rest } = more
    return {
      rootfs,
      args: ['/bin/sh', '-c', script],
      env: ['PATH=/bin'],
      cwd: '/',
      user: '',
      hostname: 'buildkitsandbox',
      network: 'default',
      security: 'sandbox',
      mounts: [],
      settings: processSettings({}),
      ...rest,
    }
  }

  async run(
    script: string,
    { sandbox = this.sandbox, ...more }: Partial<ExecSpec> & { readonly layers?: readonly string[]; readonly sandbox?: Sandbox } = {},
    signal?: AbortSignal,
  ): Promise<RunResult> {
    const spec = this.spec(script, more)
    const out: Uint8Array[] = []
    const err: Uint8Array[] = []
    const status = await sandbox.exec(spec, { stdout: (data) => out.push(data), stderr: (data) => err.push(data) }, signal)
    const { upper } = spec.rootfs
    return { ...status, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString(), changes: changesOf(upper), upper }
  }

  async remove(): Promise<void> {
    await this.sandbox.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function changesOf(upper: string): string[] {
  const lines = execFileSync('find', [upper, '-mindepth', '1', '-printf', '%P %y %m %U:%G\n'], { encoding: 'utf8' })
  return lines
    .split('\n')
    .filter((line) => line !== '' && !/^(dev|proc|sys) d 755 0:0$/.test(line))
    .sort()
}

/** Enough for the fixture's own layers, which hold no symlinks on the way to /etc/passwd. */
export function readTopmost(rootfs: ExecSpec['rootfs'], path: string): Buffer | undefined {
  for (const layer of rootfs.lower.toReversed()) {
    const file = join(layer, path)
    if (existsSync(file) && lstatSync(file).isFile()) return readFileSync(file)
  }
  return undefined
}
