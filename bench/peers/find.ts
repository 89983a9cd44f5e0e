import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Daemon, processNamed } from '../daemon.ts'
import { Failure, type Runner } from '../run.ts'
import { median } from '../statistics.ts'
import { buildctlPeer } from './buildctl.ts'
import type { Peer } from './builder.ts'
import { buildahPeer, podmanPeer } from './containers.ts'
import { dockerPeer } from './docker.ts'

export const PEERS = ['docker', 'buildctl', 'buildah', 'podman'] as const

type PeerName = (typeof PEERS)[number]

/** A builder that answers. */
export interface Found {
  readonly command: readonly string[]
  readonly version: string
  readonly daemon: Daemon | undefined
  readonly overhead: Peer['overhead']
  readonly notes: readonly string[]
}

export interface Finder {
  readonly runner: Runner
  /** Words before each command of a peer. */
  readonly prefix: readonly string[]
  /** Where it may write. */
  readonly folder: string
  readonly say: (line: string) => void
}

/** What prints the version of what builds: of docker and buildctl that is the daemon's. */
const VERSIONS: Readonly<Record<PeerName, readonly string[]>> = {
  docker: ['version', '--format', '{{.Server.Version}}'],
  buildctl: ['debug', 'info'],
  buildah: ['--version'],
  podman: ['--version'],
}

/** The builders that answer, of those that are wanted. */
export async function findPeers(finder: Finder, wanted: readonly string[]): Promise<Peer[]> {
  const overhead = wanted.length === 0 || finder.prefix.length === 0 ? { seconds: 0, processors: 0 } : await costOf(finder)
  const found: Peer[] = []
  for (const name of PEERS.filter((one) => wanted.includes(one))) {
    const peer = await find(finder, name, overhead)
    if (peer !== undefined) found.push(peer)
  }
  return found
}

/** What the words before a command take: medians. */
async function costOf({ runner, prefix }: Finder): Promise<Peer['overhead']> {
  const runs = []
  for (let run = 0; run < 7; run += 1) runs.push(await runner.inTurn([[...prefix, 'true']]))
  return { seconds: median(runs.map((run) => run.seconds)), processors: median(runs.map((run) => run.processors)) }
}

async function find(finder: Finder, name: PeerName, overhead: Peer['overhead']): Promise<Peer | undefined> {
  const { runner, prefix, say } = finder
  const command = [...prefix, name]
  try {
    const version = versionIn(await runner.output([...command, ...VERSIONS[name]]))
    const daemon = name === 'docker' || name === 'buildctl' ? await findDaemon(finder, name) : undefined
    return await makePeer(finder, name, { command, version, daemon, overhead, notes: notesOf(finder, name, daemon, overhead) })
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    say(`${name}: takes no part: ${error.message.split('\n').at(-1)}`)
    return undefined
  }
}

function versionIn(output: string): string {
  return /v?\d+\.\d+[\w.+~-]*/.exec(output)?.[0] ?? output.trim()
}

function notesOf({ prefix }: Finder, name: PeerName, daemon: Daemon | undefined, { seconds }: Peer['overhead']): string[] {
  const notes: string[] = []
  if (prefix.length > 0) notes.push(`reached by a prefix, whose ${(seconds * 1000).toFixed(0)} ms are taken off each of its commands`)
  if (name !== 'docker' && name !== 'buildctl') return notes
  if (daemon === undefined) notes.push('its daemon cannot be read: processors and memory are those of the command alone')
  else if (!daemon.resetPeaks()) notes.push('the memory of its daemon is the peak since its start')
  return notes
}

/** By its pid file, or where it is the only one of its name. A daemon of another machine is not found. */
async function findDaemon({ runner, prefix }: Finder, name: 'docker' | 'buildctl'): Promise<Daemon | undefined> {
  if (name === 'docker') {
    const pid = await runner.output([...prefix, 'cat', '/var/run/docker.pid']).catch(() => '')
    if (/^\d+\s*$/.test(pid)) return new Daemon(Number(pid))
  }
  const pid = processNamed(name === 'docker' ? 'dockerd' : 'buildkitd')
  return pid === undefined ? undefined : new Daemon(pid)
}

async function makePeer(finder: Finder, name: PeerName, found: Found): Promise<Peer> {
  if (name === 'buildctl') return buildctlPeer(found)
  if (name === 'buildah') return buildahPeer(found)
  if (name === 'podman') return podmanPeer(found)
  return dockerPeer(found, await writesArchives(finder, found))
}

/** Whether docker's own store exports OCI archives. */
async function writesArchives({ runner, folder }: Finder, { command }: Found): Promise<boolean> {
  const context = join(folder, 'probe')
  mkdirSync(context)
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY Dockerfile /\n')
  try {
    await runner.output([...command, 'buildx', 'build', '--provenance=false', '-o', `type=oci,dest=${join(folder, 'probe.tar')}`, context])
    return true
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return false
  }
}
