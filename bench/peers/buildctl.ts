import type { Build, Peer } from './builder.ts'
import type { Found } from './find.ts'

/** BuildKit's own command, with a daemon that runs already. */
export function buildctlPeer({ command, version, daemon, overhead, notes }: Found): Peer {
  return {
    name: 'buildctl',
    version,
    isPeer: true,
    notes: [...notes, 'keeps no images: what a build leaves in its store is known by the exit status alone'],
    build: (build) => [[...command, 'build', ...buildArguments(build)]],
    inspect: () => undefined,
    check: undefined,
    explain: undefined,
    remove: () => [],
    prune: () => [[...command, 'prune', '--all']],
    daemon,
    overhead,
  }
}

function buildArguments({ context, tag, output, noCache, images = {}, network = 'none' }: Build): string[] {
  const contexts = Object.entries(images).flatMap(([from, reference]) => ['--opt', `context:${from}=docker-image://${reference}`])
  const allowed = network === 'host' ? ['--allow', 'network.host'] : []
  return [
    ...['--progress', 'plain', '--frontend', 'dockerfile.v0', '--local', `context=${context}`, '--local', `dockerfile=${context}`],
    ...['--opt', `force-network-mode=${network}`, ...allowed, ...contexts, ...(noCache ? ['--no-cache'] : [])],
    ...['--output', outputValue(output, tag)],
  ]
}

function outputValue(output: Build['output'], tag: string): string {
  if (output.kind === 'store') return `type=image,name=${tag}`
  if (output.kind === 'push') return `type=image,name=${output.reference},push=true,registry.insecure=true`
  return `type=oci,name=${tag},dest=${output.file},compression=${output.compression ?? 'gzip'}`
}
