import type { Build, Commands, Peer } from './builder.ts'
import type { Found } from './find.ts'

/** An image by its name, and what was pushed before under that name: docker keeps it under the digest that the registry gave. */
const REMOVE = `tag=$1; shift
"$@" image ls --all --no-trunc --quiet --filter "reference=\${tag%:*}" | sort -u | xargs -r "$@" image rm --force`

/**
 * `docker buildx build` with the default builder. `writesArchives`: docker with containerd's store exports OCI archives itself; another one is asked for the
 * image and then to save it, whose layers are not compressed.
 */
export function dockerPeer({ command, version, daemon, overhead, notes }: Found, writesArchives: boolean): Peer {
  return {
    name: 'docker',
    version,
    isPeer: true,
    notes: writesArchives
      ? notes
      : [...notes, 'its store exports no OCI archives: `docker build` and `docker save`, whose layers are not compressed'],
    build: (build) => buildCommands(command, build, writesArchives),
    inspect: (tag) => [...command, 'image', 'inspect', tag],
    check: (context) => [[...command, 'buildx', 'build', '--check', context]],
    explain: undefined,
    remove: (tags) => tags.map((tag) => ['sh', '-c', REMOVE, 'sh', tag, ...command]),
    prune: () => [[...command, 'builder', 'prune', '--all', '--force']],
    daemon,
    overhead,
  }
}

function buildCommands(command: readonly string[], build: Build, writesArchives: boolean): Commands {
  const { context, tag, output, noCache, images = {}, network = 'none' } = build
  const contexts = Object.entries(images).flatMap(([from, reference]) => ['--build-context', `${from}=docker-image://${reference}`])
  // What it would add to what it exports, the others do not write.
  const allowed = network === 'host' ? ['--allow', 'network.host'] : []
  const args = [
    '--progress',
    'plain',
    '--network',
    network,
    ...allowed,
    '--provenance=false',
    ...contexts,
    ...(noCache ? ['--no-cache'] : []),
  ]
  const words = [...command, 'buildx', 'build', ...args]
  if (output.kind === 'store') return [[...words, '--load', '-t', tag, context]]
  if (output.kind === 'push') return [[...words, '--push', '-t', output.reference, context]]
  const compression = output.compression ?? 'gzip'
  if (writesArchives) return [[...words, '-t', tag, '-o', `type=oci,dest=${output.file},compression=${compression}`, context]]
  return [
    [...words, '--load', '-t', tag, context],
    [...command, 'save', '-o', output.file, tag],
  ]
}
