/**
 * Milliseconds of processor time that `work` takes, the least of a few `runs`: the wall clock counts what else the machine does. For tests of growth; how fast
 * something is, bench/ tells.
 */
export function cost(work: () => unknown, runs = 3): number {
  const times = Array.from({ length: runs }, () => {
    const before = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  })
  return Math.min(...times)
}
