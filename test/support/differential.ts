import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type DifferentialCase, materialize, type Outcome, outcomeOf, removeContext } from './differential-case.ts'
import { type ReadImage, readImage } from './image-archive.ts'
import { applyLayers, describeTree, type Tree } from './image-tree.ts'
import { readTar } from './tar-reader.ts'

/** Something that builds a context: tbuild, or the docker of TBUILD_PEER. */
export interface Builder {
  readonly name: string
  /** Builds the context folder into an archive; returns the error text when it refuses. */
  build(context: string, args: readonly string[], archive: string): Promise<string | undefined>
}

/** The tree of the base image, from its OCI layout. */
export function baseTree(layout: string): Tree {
  const json = (path: string) => JSON.parse(readFileSync(join(layout, path), 'utf8'))
  const blob = (digest: string) => `blobs/sha256/${digest.slice('sha256:'.length)}`
  const manifest = json(blob(json('index.json').manifests[0].digest)) as { layers: { digest: string }[] }
  return applyLayers(manifest.layers.map((layer) => readTar(gunzipSync(readFileSync(join(layout, blob(layer.digest)))))))
}

/** What a FROM is called, and the OCI layout that stands for it. */
export type Bases = Readonly<Record<string, string>>

/**
 * Builds one case and reduces the result to what is compared; with `steps` also what each layer changed, with `members` every member of its tar, which
 * only a docker with containerd's store leaves as BuildKit wrote them.
 */
export async function outcome(
  one: DifferentialCase,
  builder: Builder,
  base: Tree,
  options: { steps?: boolean; members?: boolean } = {},
): Promise<Outcome & { steps?: Record<string, string>; members?: Record<string, string> }> {
  const context = materialize(one)
  const archive = join(mkdtempSync(join(tmpdir(), 'tbuild-image-')), 'image.tar')
  try {
    const args = (one.args ?? []).map((arg) => arg.replaceAll('{case}', context))
    const message = await builder.build(context, args, archive)
    if (message !== undefined) return { refused: true, message }
    const image = readImage(archive)
    const steps = options.steps === true ? { steps: stepLines(image.layers, one) } : {}
    const members = options.members === true ? { members: memberLines(image.layers) } : {}
    return { ...outcomeOf(image, applyLayers(image.layers), base, one), ...steps, ...members }
  } finally {
    removeContext(context)
    rmSync(join(archive, '..'), { recursive: true, force: true })
  }
}

/** `3 t/a` to what the third layer made of it, or `removed`. Without times of directories: a layer of docker has some of which nothing else changed. */
function stepLines(layers: ReadImage['layers'], one: DifferentialCase): Record<string, string> {
  const steps: Record<string, string> = {}
  let before = new Map<string, string>()
  for (const index of layers.keys()) {
    const described = describeTree(applyLayers(layers.slice(0, index + 1)), one.mtimes === undefined ? {} : { mtimes: one.mtimes })
    const lines = new Map([...described].map(([path, line]) => [path, line.startsWith('directory') ? line.replace(/ @.*/, '') : line]))
    if (index > 0) {
      for (const [path, line] of lines) if (before.get(path) !== line) steps[`${index} ${path}`] = line
      for (const path of before.keys()) if (!lines.has(path)) steps[`${index} ${path}`] = 'removed'
    }
    before = lines
  }
  return steps
}

/** `2 5` to the fifth member of the second layer. */
function memberLines(layers: ReadImage['layers']): Record<string, string> {
  const lines = layers.slice(1).flatMap((layer, index) =>
    layer.map((entry, at) => {
      const { name, type, mode, uid, gid, linkname, major, minor, data, xattrs, mtime } = entry
      const content = createHash('sha256').update(data).digest('hex').slice(0, 12)
      const attributes = [...xattrs].map(([key, value]) => `${key}=${value.toString('hex')}`).join(' ')
      const line = `${JSON.stringify(name)} ${type} ${mode.toString(8)} ${uid}:${gid} ${linkname} ${major}:${minor} ${content} ${attributes} @${Math.floor(mtime)}`
      return [`${index + 1} ${at + 1}`, line] as const
    }),
  )
  return Object.fromEntries(lines)
}

/** `tbuild` from this checkout's bundle, with a store of its own. */
export function tbuildBuilder(root: string, store: string, bases: Bases): Builder {
  return {
    name: 'tbuild',
    async build(context, args, archive) {
      const command = [join(root, 'bin/tbuild.js'), ...buildArguments(store, bases, context, args, archive)]
      const child = spawn(process.execPath, command, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 300_000 })
      const chunks: Buffer[] = []
      child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
      const status = await new Promise<number | null>((resolve) => child.on('close', resolve))
      return status === 0 ? undefined : refusal(Buffer.concat(chunks).toString('utf8'))
    },
  }
}

/** The command line that builds one context into an OCI archive. */
export function buildArguments(store: string, bases: Bases, context: string, args: readonly string[], archive: string): string[] {
  const base = Object.entries(bases).flatMap(([from, layout]) => ['--build-context', `${from}=oci-layout://${layout}`])
  return ['build', '--root', store, '--progress', 'plain', ...base, '-o', `type=oci,dest=${archive}`, ...args, context]
}

/** What a failed build says; a bug is no refusal. */
export function refusal(stderr: string): string {
  if (/^code: BUG$/m.test(stderr)) throw new Error(stderr)
  return errorLine(stderr)
}

/**
 * The docker of TBUILD_PEER (a command such as `docker`, or a wrapper that shares /tmp). The base is loaded into it under a name of ours. RUN steps
 * get no network: some peers have no bridge.
 */
export function peerBuilder(command: string, bases: Bases): Builder {
  const [program = '', ...before] = command.split(' ')
  const run = (args: readonly string[]) =>
    spawnSync(program, [...before, ...args], { encoding: 'utf8', maxBuffer: 1 << 26, timeout: 120_000 })
  const tag = `tbuild-differential:${process.pid}`
  const contexts = Object.entries(bases).flatMap(([from, layout], index) => {
    const name = `tbuild-differential-base:${index}`
    loadBase(run, layout, name)
    return ['--build-context', `${from}=docker-image://${name}`]
  })
  return {
    name: 'peer',
    async build(context, args, archive) {
      const network = args.includes('--network') ? [] : ['--network', 'none']
      const flags = ['--progress', 'plain', '--provenance=false', ...network, ...contexts, '-t', tag]
      const built = run(['buildx', 'build', ...flags, ...args, context])
      if (built.status !== 0) return errorLine(built.stderr)
      const saved = run(['save', tag, '-o', archive])
      if (saved.status !== 0) throw new Error(saved.stderr)
      run(['rmi', '-f', tag])
      return undefined
    },
  }
}

/** `docker load` wants a manifest.json beside the layout. */
function loadBase(run: (args: readonly string[]) => { status: number | null; stderr: string }, layout: string, name: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'tbuild-base-'))
  const json = (path: string) => JSON.parse(readFileSync(join(layout, path), 'utf8'))
  const blob = (digest: string) => `blobs/sha256/${digest.slice('sha256:'.length)}`
  const manifest = json(blob(json('index.json').manifests[0].digest))
  const entry = {
    Config: blob(manifest.config.digest),
    RepoTags: [name],
    Layers: manifest.layers.map((layer: { digest: string }) => blob(layer.digest)),
  }
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify([entry]))
  const archive = join(folder, 'base.tar')
  const packed = spawnSync('tar', ['-cf', archive, '-C', layout, 'blobs', '-C', folder, 'manifest.json'], { encoding: 'utf8' })
  const loaded = packed.status === 0 ? run(['load', '-i', archive]) : packed
  rmSync(folder, { recursive: true, force: true })
  if (loaded.status !== 0) throw new Error(`the peer cannot load the base: ${loaded.stderr}`)
}

/** The last line that says ERROR, without what differs from run to run. */
function errorLine(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => /^(ERROR|error):?/.test(line))
  return (lines.at(-1) ?? stderr.trim().split('\n').at(-1) ?? '')
    .replace(/^ERROR: (?:failed to build: )?(?:failed to solve: )?/, '')
    .replace(/[a-z0-9-]{25,36}::[a-z0-9]{25}/g, 'REF')
    .replace(/\/var\/lib\/docker\/overlay2\/[a-z0-9]+\/merged/g, '')
    .replace(/\/[^ ]*\/cachemounts\/buildkit[0-9]+/g, '')
}
