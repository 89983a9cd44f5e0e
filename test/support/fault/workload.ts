import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { script } from '../cli.ts'
import { readImage } from '../image-archive.ts'
import { applyLayers, describeTree } from '../image-tree.ts'
import { runTbuild } from './fault.ts'

/** Every kind of step, and of what a store holds: base layers, a blob that is no directory, cache mounts, layers on their own, bind mounts, an archive, an image. */
const DOCKERFILE = `FROM busybox AS base
WORKDIR /srv/app
COPY files/ ./
RUN --mount=type=cache,target=/cache echo "$(cat data/one) ran" > made && echo kept > /cache/kept && rm data/two
FROM busybox
COPY --link --from=base /srv/app/made /linked/made
COPY --from=base /srv/app /srv/app
ADD more.tar /added/
RUN --mount=type=bind,from=base,source=/srv,target=/other cat /other/app/made > /copied && chown 33:33 /copied && ln /copied /hard
COPY files/ /last/
LABEL a=b
`

/** A build with a known result, run on stores that something happens to. */
export class Workload {
  readonly folder = mkdtempSync(join(tmpdir(), 'tbuild-fault-'))
  readonly #base: string
  #next = 0

  constructor() {
    // A base with few files: each of them is several system calls, all of the same kinds.
    const layout = script('busybox-layout.mjs', [join(this.folder, 'base'), 'sh,cat,chown,echo,ln,ls,mkdir,mv,rm,sleep,sync,touch'])
    if (layout.status !== 0) throw new Error(layout.stderr)
    this.#base = layout.stdout.trim()
    const context = join(this.folder, 'context')
    mkdirSync(join(context, 'files/data'), { recursive: true })
    writeFileSync(join(context, 'Dockerfile'), DOCKERFILE)
    writeFileSync(join(context, 'files/data/one'), 'one')
    writeFileSync(join(context, 'files/data/two'), 'two')
    writeFileSync(join(context, 'files/big'), Buffer.alloc(300_000, 'z'))
    symlinkSync('big', join(context, 'files/link'))
    writeFileSync(join(context, 'more.tar'), archive('added/by/tar', 'from the archive'))
  }

  /** An empty folder for one store and what is built from it. */
  place(): string {
    const place = join(this.folder, `${this.#next++}`)
    mkdirSync(place)
    return place
  }

  build(place: string, context = join(this.folder, 'context')): string[] {
    const output = ['-o', `type=oci,dest=${join(place, 'out.tar')}`]
    const base = ['--build-context', `busybox=oci-layout://${this.#base}`]
    return ['build', '--root', join(place, 'store'), '--progress', 'plain', '-t', 'app', ...base, ...output, context]
  }

  /** What a build must give: all but times and what follows from them. */
  image(place: string): string {
    const { config, layers } = readImage(join(place, 'out.tar'))
    const { created: _created, rootfs, history, ...rest } = config
    const lines = [...describeTree(applyLayers(layers))].map(([path, line]) => `${path} ${line}`)
    const steps = (history ?? []).map(({ created_by, empty_layer }) => `${created_by} ${empty_layer ?? false}`)
    return JSON.stringify({ ...rest, layers: rootfs.diff_ids.length, steps, lines }, null, 1)
  }

  /** Fails unless the store is in order without any repair, and finishing the build gives `image` and repeats nothing that was committed. */
  async checkAndFinish(place: string, image: string): Promise<void> {
    const store = ['--root', join(place, 'store')]
    const before = records(place)
    const verified = await runTbuild(['verify-store', '--check-only', '--format', 'json', ...store])
    if (verified.status !== 0) throw new Error(`the store is damaged: ${verified.stdout}${verified.stderr}`)
    const finished = await runTbuild(this.build(place))
    if (finished.status !== 0) throw new Error(`the build does not go on: ${finished.stderr}`)
    if (this.image(place) !== image) throw new Error(`another image: ${this.image(place)}`)
    const after = records(place)
    for (const [name, text] of before) if (after.get(name) !== text) throw new Error(`a committed step was repeated: ${name}`)
    for (const folder of ['tmp', 'leases']) {
      const left = readdirSync(join(place, 'store/v1', folder))
      if (left.length > 0) throw new Error(`left in ${folder}: ${left.join(' ')}`)
    }
  }

  forget(place: string): void {
    rmSync(place, { recursive: true, force: true })
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function records(place: string): Map<string, string> {
  const folder = join(place, 'store/v1/cache/records')
  try {
    return new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]))
  } catch {
    return new Map()
  }
}

/** A tar of one small file. */
function archive(name: string, text: string): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0, 100, 'latin1')
  header.write('0000640\0', 100)
  header.write('0000007\0', 108)
  header.write('0000007\0', 116)
  header.write(`${text.length.toString(8).padStart(11, '0')}\0`, 124)
  header.write('14000000000\0', 136)
  header.write('        ', 148)
  header.write('0', 156)
  header.write('ustar\x0000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  const body = Buffer.alloc(512)
  body.write(text)
  return Buffer.concat([header, body, Buffer.alloc(1024)])
}
