import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { script } from './cli.ts'
import { applyLayers, describeTree } from './image-tree.ts'
import { readTar } from './tar-reader.ts'

/** Other people's tools, on what tbuild wrote. */
export const PEER = process.env.TBUILD_PEER

/** skopeo, umoci and GNU tar: umoci restores owners, so that it needs root. */
export function haveTools(): boolean {
  if (process.getuid?.() !== 0) return false
  const { status, stderr } = script('packages.mjs', ['skopeo', 'umoci'])
  if (status !== 0) throw new Error(stderr)
  return true
}

export interface SkopeoInspection {
  readonly Digest: string
  readonly Architecture: string
  readonly Os: string
  readonly Labels: Readonly<Record<string, string>> | null
  readonly Layers: readonly string[]
  readonly Env: readonly string[] | null
}

export function inspectWithSkopeo(archive: string): SkopeoInspection {
  return JSON.parse(run('skopeo', ['inspect', `oci-archive:${archive}`])) as SkopeoInspection
}

/** The lines of `describeTree` for what umoci unpacks, read back by GNU tar. */
export function unpackWithUmoci(archive: string): Map<string, string> {
  const work = mkdtempSync(join(tmpdir(), 'tbuild-umoci-'))
  try {
    run('skopeo', ['copy', `oci-archive:${archive}`, `oci:${work}/layout:checked`])
    run('umoci', ['unpack', '--image', `${work}/layout:checked`, `${work}/bundle`])
    const flags = ['--format=pax', '--sort=name', '--numeric-owner', '--xattrs', '--xattrs-include=*', '-C', `${work}/bundle/rootfs`]
    const tar = execFileSync('tar', [...flags, '-cf', '-', '.'], { maxBuffer: 2 ** 31 - 1 })
    return describeTree(applyLayers([readTar(tar)]))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Loads a docker archive into the docker of TBUILD_PEER and runs it; returns what it prints. */
export function runWithDocker(archive: string, image: string, command: readonly string[] = []): string {
  const [program = '', ...before] = (PEER as string).split(' ')
  run(program, [...before, 'load', '-i', archive])
  try {
    return run(program, [...before, 'run', '--rm', '--network', 'host', image, ...command])
  } finally {
    run(program, [...before, 'rmi', '-f', image])
  }
}

function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26, timeout: 300_000 })
  if (error) throw error
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`)
  return stdout
}
