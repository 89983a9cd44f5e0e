// Everything that a fresh checkout lacks: the native parts, the grammars and the bundle. Does nothing when all is up to date.
import { buildIfNeeded } from './build.mjs'
import { compileNative } from './native.mjs'

try {
  await compileNative()
  await buildIfNeeded()
} catch (error) {
  console.error(process.env.TBUILD_DEBUG === '1' ? error : error.message)
  process.exit(1)
}
