// What a user of the package writes. test/e2e/library.test.ts compiles it with the declarations in dist/types, as 'tbuild' resolves from here.
import { type BuildEvent, type BuildOptions, type BuildResult, build, isTbuildError } from 'tbuild'

const names: string[] = []
const onEvent = (event: BuildEvent): void => {
  if (event.type === 'vertex') names.push(event.name)
  // @ts-expect-error a vertex has no exit code
  if (event.type === 'vertex') event.exitCode
}
const options: BuildOptions = { context: '.', tags: ['app:dev'], outputs: [{ type: 'oci', dest: 'app.tar', tar: true }] }
export async function use(): Promise<string> {
  const result: BuildResult = await build(options, { onEvent, signal: AbortSignal.timeout(1000) })
  // @ts-expect-error an image may be missing
  result.images[0].configDigest.length
  return result.images[0]?.configDigest ?? ''
}
export function codeOf(error: unknown): string {
  return isTbuildError(error) ? error.code : ''
}
// @ts-expect-error the context is required
void build({})
// @ts-expect-error there is no such output
void build({ context: '.', outputs: [{ type: 'floppy', dest: 'x', tar: true }] })
