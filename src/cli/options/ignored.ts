/** Options of `docker build` that change nothing here: accepted, because scripts pass them, each with its reason as a warning. */
export const IGNORED: readonly { readonly flags: string; readonly reason: string; readonly number?: true }[] = [
  { flags: '--rm', reason: 'there are no intermediate containers' },
  { flags: '--force-rm', reason: 'there are no intermediate containers' },
  { flags: '--compress', reason: 'there is no daemon to send the context to' },
  { flags: '--squash', reason: 'BuildKit ignores it too; use a multi-stage build' },
  { flags: '--security-opt <option>', reason: 'BuildKit ignores it too' },
  { flags: '--builder <name>', reason: 'there is one builder' },
  { flags: '-D, --debug', reason: 'warnings are shown whole; TBUILD_DEBUG=1 shows where an error was thrown' },
  { flags: '-m, --memory <bytes>', reason: 'RUN steps are not limited' },
  { flags: '--memory-swap <bytes>', reason: 'RUN steps are not limited' },
  { flags: '-c, --cpu-shares <weight>', reason: 'RUN steps are not limited', number: true },
  { flags: '--cpu-period <us>', reason: 'RUN steps are not limited', number: true },
  { flags: '--cpu-quota <us>', reason: 'RUN steps are not limited', number: true },
  { flags: '--cpuset-cpus <list>', reason: 'RUN steps are not limited' },
  { flags: '--cpuset-mems <list>', reason: 'RUN steps are not limited' },
]

/** Options of `docker buildx build` that would change the result and are not carried out: refused by name. */
export const REFUSED: readonly { readonly flags: string; readonly hint?: string }[] = [
  { flags: '--resource <limits>' },
  { flags: '--policy <file>' },
  { flags: '--device <name>' },
]
