/** Options of `docker build` that change nothing here: accepted, because scripts pass them, each with its reason as a warning. */
export const IGNORED: readonly { readonly flags: string; readonly reason: string; readonly hidden: true }[] = [
  ['--rm', 'there are no intermediate containers'],
  ['--force-rm', 'there are no intermediate containers'],
  ['--compress', 'there is no daemon to send the context to'],
  ['--squash', 'BuildKit ignores it too; use a multi-stage build'],
  ['--security-opt <option>', 'BuildKit ignores it too'],
  ['--builder <name>', 'there is one builder'],
  ['-D, --debug', 'warnings are shown whole; TBUILD_DEBUG=1 shows where an error was thrown'],
  ['-m, --memory <bytes>', 'RUN steps are not limited'],
  ['--memory-swap <bytes>', 'RUN steps are not limited'],
  ['-c, --cpu-shares <weight>', 'RUN steps are not limited'],
  ['--cpu-period <us>', 'RUN steps are not limited'],
  ['--cpu-quota <us>', 'RUN steps are not limited'],
  ['--cpuset-cpus <list>', 'RUN steps are not limited'],
  ['--cpuset-mems <list>', 'RUN steps are not limited'],
].map(([flags, reason]) => ({ flags: flags as string, reason: reason as string, hidden: true }))

/** Options of `docker buildx build` that would change the result and are not carried out: refused by name. */
export const REFUSED: readonly { readonly flags: string; readonly hint?: string }[] = [
  { flags: '--resource <limits>' },
  { flags: '--policy <file>' },
  { flags: '--device <name>' },
]
