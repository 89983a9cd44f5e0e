/** A Dockerfile may have more stages and steps in a row than there is stack: what goes down from one to the next is no recursion, or one of tasks. */

/** What is not known yet of `top` and all below it, each after what is below it. */
export function bottomUp<T>(top: T, below: (at: T) => readonly T[], known: { has(at: T): boolean }): Set<T> {
  const found = new Set<T>()
  const isOpen = (at: T) => !found.has(at) && !known.has(at)
  const open = [top]
  for (let at = open.at(-1); at !== undefined; at = open.at(-1)) {
    const next = isOpen(at) ? below(at).filter(isOpen) : []
    open.push(...next.reverse())
    if (next.length > 0) continue
    if (isOpen(at)) found.add(at)
    open.pop()
  }
  return found
}

/** What stands after it is done on a stack of its own, so that work may ask the same of what is below, and that of what is below that. */
export function newStack(): Promise<void> {
  return Promise.resolve()
}
