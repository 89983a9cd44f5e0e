import type { GitOp, HttpOp } from '../graph/op.ts'
import { parseNamedContext } from './parse-context.ts'
import { contextOp, openGit, urlTime } from './remote.ts'
import type { ContextSources } from './sources.ts'

/** Times of what SOURCE_DATE_EPOCH names, seconds; what is fetched for it is in the store for whoever needs it next. */

/** Of `--build-context name=value`. */
export async function contextTime(name: string, value: string, sources: ContextSources): Promise<number | undefined> {
  const parsed = parseNamedContext(value)
  const shown = `[internal] resolve SOURCE_DATE_EPOCH named context ${name}`
  if (parsed.kind === 'git') return (await openGit(parsed.git, false, shown, sources)).time
  if (parsed.kind === 'http') return urlTime(contextOp(parsed.url), shown, sources)
  return undefined
}

/** Of what an ADD fetches. */
export async function sourceTime(op: GitOp | HttpOp, sources: ContextSources): Promise<number | undefined> {
  const shown = `[internal] resolve SOURCE_DATE_EPOCH source ${op.kind === 'git' ? op.remote : op.url}`
  if (op.kind === 'git') {
    const { kind: _, ...git } = op
    return (await openGit({ ...git, shortForm: false }, false, shown, sources)).time
  }
  // With its checksum: nobody else need fetch it.
  return urlTime(op, shown, sources)
}
