import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Build, Peer } from './builder.ts'

/** A checkout of tbuild that is set up. Throws when it is not. */
export function tbuildPeer(name: string, checkout: string): Peer {
  const command = [process.execPath, join(checkout, 'bin/tbuild.js')]
  if (!existsSync(join(checkout, 'dist/cli.cjs'))) throw new Error(`${checkout} is not set up: node scripts/setup.mjs`)
  const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }
  return {
    name,
    version,
    isPeer: false,
    notes: [],
    build: (build, store) => [[...command, 'build', '--root', store, ...buildArguments(build)]],
    inspect: (tag, store) => [...command, 'inspect', '--root', store, tag],
    check: (context, store) => [[...command, 'build', '--check', '--root', store, context]],
    explain: (context, store) => [[...command, 'explain', '--root', store, '--network', 'none', context]],
    remove: () => [],
    prune: () => [],
    daemon: undefined,
    overhead: { seconds: 0, processors: 0 },
  }
}

function buildArguments({ context, tag, output, noCache, images = {}, network = 'none' }: Build): string[] {
  const contexts = Object.entries(images).flatMap(([from, reference]) => ['--build-context', `${from}=docker-image://${reference}`])
  const args = ['--progress', 'plain', '--network', network, ...contexts, ...(noCache ? ['--no-cache'] : [])]
  const named = ['-t', tag]
  if (output.kind === 'store') return [...args, ...named, context]
  if (output.kind === 'push') return [...args, '-o', `type=image,name=${output.reference},push=true`, context]
  return [...args, ...named, '-o', `type=oci,dest=${output.file},compression=${output.compression ?? 'gzip'}`, context]
}
