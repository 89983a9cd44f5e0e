/** Milliseconds since some moment, never backwards. Not performance.now(): a module of Node's is loaded for that. */
export function steadyMilliseconds(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}
