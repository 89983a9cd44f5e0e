import { readdirSync, readFileSync } from 'node:fs'

/** The parent and the start of a process: no other one has both numbers. Undefined when it is gone. */
function statOf(pid: number): { parent: number; start: string } | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
    return fields[0] === 'Z' ? undefined : { parent: Number(fields[1]), start: fields[19] ?? '' }
  } catch {
    return undefined
  }
}

export interface Process {
  readonly pid: number
  readonly start: string
}

/** The words of a process's command line, with spaces between them; '' when it is gone. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replace(/\0$/, '').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

function processes(): (Process & { parent: number })[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.flatMap((name) => {
    const stat = statOf(Number(name))
    return stat === undefined ? [] : [{ pid: Number(name), ...stat }]
  })
}

/** The processes of this machine whose command line begins with `command`. */
export const running = (command: string): Process[] => processes().filter(({ pid }) => commandLine(pid).startsWith(command))

export const childrenOf = (pid: number): Process[] => processes().filter(({ parent }) => parent === pid)

/** Everything that a process started, and what those started. */
export function descendants(ancestor: number): Process[] {
  const all = processes()
  const found: Process[] = []
  for (let parents = new Set([ancestor]); parents.size > 0; ) {
    const children = all.filter(({ parent }) => parents.has(parent))
    found.push(...children)
    parents = new Set(children.map(({ pid }) => pid))
  }
  return found
}

export const alive = (processes: readonly Process[]): Process[] => processes.filter(({ pid, start }) => statOf(pid)?.start === start)

/** kill -9. That it has ended meanwhile, by the death of another one perhaps, is as good. */
export function kill({ pid }: { readonly pid: number }): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

export async function until(condition: () => boolean, milliseconds: number): Promise<void> {
  for (const end = Date.now() + milliseconds; !condition() && Date.now() < end; ) await new Promise((resolve) => setTimeout(resolve, 20))
}
