import { bottomUp } from '../base/long-chains.ts'
import type { Vertex } from '../graph/op.ts'
import { belowOf } from '../graph/vertex.ts'
import type { BlobForm } from '../layers/types.ts'
import type { Ref } from '../ops/ref.ts'
import type { FoundStep, StepKey } from '../ops/step-cache.ts'
import { handlerOf } from '../ops/table.ts'
import type { KeyPart } from '../store/types.ts'

/**
 * All that a walk knows of one vertex; the walk owns it. What is a promise is worked on once, also when it is asked for again before it is there. A failure
 * stays, as it does not in base/shared-work.ts: a walk ends with the first, and a step that failed is neither tried nor reported again by those that stand on it.
 */
export interface Step {
  readonly vertex: Vertex
  /** What it is put on. */
  readonly root: Step | undefined
  /** What it only reads. */
  readonly inputs: readonly Step[]
  /** Without a record: what it names is what it is. */
  readonly isSource: boolean
  /** Its key is known when a server has been asked. */
  readonly isRemote: boolean
  /** Its layer does not depend on what it is put on, and its record holds that one layer. */
  readonly isIndependent: boolean

  /** All of the key but the root. */
  parts: Promise<readonly KeyPart[]> | undefined
  key: Promise<StepKey> | undefined
  /** The key can be known without running or fetching anything. */
  isKeyReady: Promise<boolean> | undefined
  /** What the caches had for it before anything ran for it. */
  lookup: Promise<FoundStep | undefined> | undefined
  /** What `lookup` gave: the key stays from then on, whatever becomes of the caller's files. */
  found: FoundStep | undefined
  answer: Promise<Ref> | undefined
  /** What `answer` gave. */
  ref: Ref | undefined
  /** The number of sources that had been withdrawn when its answer was begun. */
  since: number

  /** The caller's files of it, and of all below it, were read before an imported cache read them. */
  contextsRead: Promise<void> | undefined
  /** They were the same after that. */
  contextsAsRead: Promise<boolean> | undefined
  /** Its files of the caller are others than those that a cache was asked with, or cannot be told from them. */
  isChanged: boolean

  /** An output wants its layer as such a blob, and nobody in the build reads its files. */
  wanted: BlobForm | undefined
  isReported: boolean
  /** Its op ran: it is a step of the Dockerfile that no cache had. */
  hasRun: boolean
  /** What a cache that other builds left had for it. */
  imported: FoundStep | undefined
}

function newStep(vertex: Vertex, root: Step | undefined, inputs: readonly Step[]): Step {
  const { key, remote } = handlerOf(vertex.op)
  return {
    vertex,
    root,
    inputs,
    isSource: key === undefined,
    isRemote: remote === true,
    isIndependent: isIndependent(vertex),
    parts: undefined,
    key: undefined,
    isKeyReady: undefined,
    lookup: undefined,
    found: undefined,
    answer: undefined,
    ref: undefined,
    since: 0,
    contextsRead: undefined,
    contextsAsRead: undefined,
    isChanged: false,
    wanted: undefined,
    isReported: false,
    hasRun: false,
    imported: undefined,
  }
}

/** Of each vertex there is one, also of those below. */
export function stepOf(vertex: Vertex, steps: Map<Vertex, Step>): Step {
  for (const each of bottomUp(vertex, belowOf, steps)) {
    const root = each.root && steps.get(each.root)
    const inputs = each.inputs.map((input) => steps.get(input) as Step)
    steps.set(each, newStep(each, root, inputs))
  }
  return steps.get(vertex) as Step
}

/** Forgets what was found or made of a step, which cannot be had any more. What is under way goes on. */
export function reopen(step: Step): void {
  if (step.ref !== undefined) step.answer = undefined
  step.ref = undefined
  step.lookup = undefined
  step.found = undefined
  step.imported = undefined
  step.contextsAsRead = undefined
  step.isReported = step.hasRun
}

export function isIndependent({ op }: Vertex): boolean {
  return handlerOf(op).independent?.(op) === true
}

/** A step and what it is put on, the step first. */
export function withRoots(step: Step): Step[] {
  const steps: Step[] = []
  for (let at: Step | undefined = step; at !== undefined; at = at.root) steps.push(at)
  return steps
}

/** `known`: of which steps it is known. */
export function standsOn(step: Step, known: Map<Step, boolean>): boolean {
  for (const each of bottomUp(step, belowOf<Step>, known)) {
    known.set(
      each,
      belowOf(each).some((below) => known.get(below)),
    )
  }
  return known.get(step) === true
}
