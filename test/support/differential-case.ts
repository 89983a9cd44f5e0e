import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  lutimesSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ReadImage } from './image-archive.ts'
import { describeTree, type Tree } from './image-tree.ts'

/** `case.json`: everything may be left out but the rule. */
export interface CaseFile {
  /** The rule of the specification that the case shows, such as `F9`. */
  readonly rule: string
  readonly about?: string
  /** More arguments of `build`, such as `["--build-arg", "V=1"]`. `{case}` stands for the folder of the context. */
  readonly args?: readonly string[]
  /** Shell commands run in the context first, for what git does not keep: links, modes, times. */
  readonly setup?: string
  /** Paths whose modification time is compared too. */
  readonly mtimes?: readonly string[]
  /** Paths (and what is below them) that are not compared. */
  readonly ignore?: readonly string[]
  /** Why the recorded result is not what BuildKit 0.32 does; such a record was corrected by hand. */
  readonly corrected?: string
}

export interface DifferentialCase extends CaseFile {
  readonly name: string
  readonly folder: string
}

/** `expected.json`: what the image has more than its base, or that the build is refused. */
export interface Outcome {
  readonly refused?: boolean
  readonly message?: string
  /** Path to what is there. Unchanged files of the base are left out. */
  readonly tree?: Readonly<Record<string, string>>
  /** Files of the base that are gone; `*` for all of them. */
  readonly removed?: readonly string[] | '*'
  readonly config?: unknown
  readonly history?: readonly string[]
}

export function loadCases(corpus: string): DifferentialCase[] {
  return readdirSync(corpus)
    .filter((name) => existsSync(join(corpus, name, 'Dockerfile')))
    .sort()
    .map((name) => {
      const folder = join(corpus, name)
      return { ...(JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as CaseFile), name, folder }
    })
}

/** A fresh copy of the case's context with the Dockerfile in it. Modes are those that git keeps, times are the same for all. */
export function materialize(one: DifferentialCase): string {
  const target = mkdtempSync(join(tmpdir(), 'tbuild-case-'))
  chmodSync(target, 0o755)
  if (existsSync(join(one.folder, 'context'))) cpSync(join(one.folder, 'context'), target, { recursive: true, verbatimSymlinks: true })
  writeFileSync(join(target, 'Dockerfile'), readFileSync(join(one.folder, 'Dockerfile')))
  normalize(target)
  if (one.setup === undefined) return target
  const script = `umask 022\n${one.setup}\n`
  execFileSync('/bin/sh', ['-e', '-c', script], { cwd: target, stdio: ['ignore', 'ignore', 'inherit'] })
  return target
}

function normalize(path: string): void {
  const stat = lstatSync(path)
  if (stat.isSymbolicLink()) return
  if (stat.isDirectory()) {
    for (const name of readdirSync(path)) normalize(join(path, name))
    chmodSync(path, 0o755)
  } else chmodSync(path, stat.mode & 0o100 ? 0o755 : 0o644)
  lutimesSync(path, 1_700_000_000, 1_700_000_000)
}

export function removeContext(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}

/** The image reduced to what must be equal whoever built it. */
export function outcomeOf(image: ReadImage, tree: Tree, base: Tree, one: CaseFile): Outcome {
  const mtimes = one.mtimes === undefined ? {} : { mtimes: one.mtimes }
  const lines = describeTree(tree, mtimes)
  const before = describeTree(base, mtimes)
  const ignored = (path: string) => (one.ignore ?? []).some((skip) => path === skip || path.startsWith(`${skip}/`))
  const changed = [...lines].filter(([path, line]) => before.get(path) !== line && !ignored(path))
  const removed = [...before.keys()].filter((path) => !lines.has(path) && !ignored(path))
  const { config, author, architecture, os, variant } = image.config
  return {
    tree: Object.fromEntries(changed),
    ...(removed.length === 0 ? {} : { removed: removed.length === before.size ? ('*' as const) : removed }),
    config: sorted({
      ...(author ? { author } : {}),
      ...(variant ? { variant } : {}),
      os,
      architecture: architecture === undefined ? '' : 'host',
      config,
    }),
    history: (image.config.history ?? []).map(
      (step) => `${step.empty_layer ? '-' : 'layer'} ${step.created_by ?? ''}${step.comment ? ` (${step.comment})` : ''}`,
    ),
  }
}

/** Keys in order; members that say nothing (null, '', [] where Go omits them) count as absent. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  const members = Object.entries(value)
    .filter(([key, member]) => !(member === null || member === '' || (member === false && key !== 'ArgsEscaped')))
    .map(([key, member]) => [key, sorted(member)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(members)
}
