// Everything that a fresh checkout lacks: the native parts, the grammars and the bundle. Does nothing when all is up to date.
await import('./build.mjs')
