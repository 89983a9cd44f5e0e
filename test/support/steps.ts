/** What a build did, from its `--progress rawjson`: the names of steps without `[stage 2/4]`, in the order in which they ended. */
export interface Steps {
  readonly ran: readonly string[]
  readonly cached: readonly string[]
}

interface StepEvent {
  readonly type: string
  readonly id: string
  readonly name?: string
  readonly cached?: boolean
}

/** Steps of the Dockerfile; reading contexts and metadata is left out. */
export function stepsOf(rawjson: string): Steps {
  const names = new Map<string, string>()
  const ran: string[] = []
  const cached: string[] = []
  for (const line of rawjson.split('\n').filter((text) => text.startsWith('{'))) {
    const event = JSON.parse(line) as StepEvent
    if (event.type === 'vertex') names.set(event.id, event.name ?? '')
    if (event.type !== 'done') continue
    const name = names.get(event.id) ?? ''
    if (name.startsWith('[internal]')) continue
    const list = event.cached ? cached : ran
    list.push(name.replace(/^\[[^\]]*\] /, ''))
  }
  return { ran, cached }
}
