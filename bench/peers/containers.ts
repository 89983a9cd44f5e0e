import type { Build, Commands, Peer } from './builder.ts'
import type { Found } from './find.ts'

/** What Buildah and Podman, one library for building, spell each in its own way. */
interface Spelling {
  readonly name: string
  readonly inspect: readonly string[]
  readonly prune: readonly string[]
}

export const buildahPeer = (found: Found) =>
  containersPeer({ name: 'buildah', inspect: ['inspect', '--type', 'image'], prune: ['prune', '--force'] }, found)

export const podmanPeer = (found: Found) =>
  containersPeer({ name: 'podman', inspect: ['image', 'inspect'], prune: ['image', 'prune', '--force'] }, found)

function containersPeer(spelling: Spelling, { command, version, overhead, notes }: Found): Peer {
  return {
    name: spelling.name,
    version,
    isPeer: true,
    notes,
    build: (build) => buildCommands(command, build),
    inspect: (tag) => [...command, ...spelling.inspect, tag],
    check: undefined,
    explain: undefined,
    remove: (tags) => [[...command, 'rmi', '--force', ...tags]],
    prune: () => [[...command, ...spelling.prune]],
    daemon: undefined,
    overhead,
  }
}

function buildCommands(command: readonly string[], build: Build): Commands {
  const { context, tag, output, noCache, images = {}, network = 'none' } = build
  const contexts = Object.entries(images).flatMap(([from, reference]) => ['--build-context', `${from}=docker://${reference}`])
  const args = ['--layers', '--tls-verify=false', '--network', network, ...contexts, ...(noCache ? ['--no-cache'] : []), '-t', tag]
  const built = [...command, 'build', ...args, context]
  if (output.kind === 'store') return [built]
  if (output.kind === 'push') return [built, [...command, 'push', '--tls-verify=false', tag, `docker://${output.reference}`]]
  return [built, [...command, 'push', '--compression-format', output.compression ?? 'gzip', tag, `oci-archive:${output.file}`]]
}
