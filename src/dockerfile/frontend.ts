import { TbuildError } from '../base/errors.ts'
import type { SourceFile } from '../base/span.ts'
import { detectSyntax } from './directives.ts'

/** The image of Docker's own frontend, of any registry and version: what it does is built in. */
const OWN = /(?:^|\/)dockerfile(?:-upstream)?(?::[^/]*)?(?:@.*)?$/

/** Refuses a file that another frontend is to read: it may be of any language. `asked`: the build argument BUILDKIT_SYNTAX, which wins. */
export function requireOwnFrontend(file: SourceFile, asked: string | undefined): void {
  const syntax = asked || detectSyntax(file.text)
  if (syntax === undefined || OWN.test(syntax)) return
  throw new TbuildError('FRONTEND_UNSUPPORTED', `the frontend ${syntax} is not supported`, {
    hint: 'tbuild reads the language of docker/dockerfile itself and runs no frontend images',
  })
}
