import { beforeEach, describe, expect, test } from '@jest/globals'
import { ALL_FILES, type Caller, type Sink } from '../../../src/caller/caller.ts'
import { untilEnded } from '../../../src/caller/until-ended.ts'

const never = () => new Promise<never>(() => {})
const silent: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => ({ next: never }) }
const signal = new AbortController().signal

/** A client that is gone. */
const gone: Caller = {
  environment: { HOME: '/h' },
  stdin: silent,
  progress: { onEvent: () => {}, signal },
  workingDirectory: '/w',
  directory: never,
  file: never,
  sink: never,
  renewed: never,
  directorySink: never,
  secret: never,
  agent: never,
  credentials: never,
}

class GoneSink implements Sink {
  readonly calls: string[] = []

  write(): Promise<never> {
    this.calls.push('write')
    return never()
  }

  writeFile(): Promise<never> {
    this.calls.push('writeFile')
    return never()
  }

  commit(): Promise<never> {
    this.calls.push('commit')
    return never()
  }

  async abort(): Promise<void> {
    this.calls.push('abort')
  }
}

async function read(bytes: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes ?? []) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

describe('a caller that is asked until the build ends', () => {
  let end: AbortController
  beforeEach(() => {
    end = new AbortController()
  })

  test.each<[string, (caller: Caller) => Promise<unknown>]>([
    ['a directory', (caller) => caller.directory('d', ALL_FILES, signal)],
    ['a file', (caller) => caller.file('/f')],
    ['an output', (caller) => caller.sink({ kind: 'file', name: 'f' }, signal)],
    ['a directory for an output', (caller) => caller.directorySink('d', signal)],
    ['a secret', (caller) => caller.secret('s')],
    ['an agent', (caller) => caller.agent('a')],
    ['a login', (caller) => caller.credentials('h')],
    ['standard input', (caller) => read(caller.stdin)],
  ])('%s that never comes is waited for no longer', async (_what, ask) => {
    const asked = ask(untilEnded(gone, end.signal))
    end.abort()
    await expect(asked).rejects.toBe(end.signal.reason)
  })

  test('what comes is handed on, whole, and bytes that nobody wants more of are let go', async () => {
    let returned = 0
    async function* bytes() {
      try {
        yield Buffer.from('one')
        yield Buffer.from('two')
      } finally {
        returned += 1
      }
    }
    const caller = untilEnded({ ...gone, stdin: bytes(), file: async () => bytes(), secret: async () => undefined }, end.signal)
    expect([await read(caller.stdin), await read(await caller.file('/f')), await caller.secret('s')]).toEqual([
      'onetwo',
      'onetwo',
      undefined,
    ])
    for await (const _chunk of (await caller.file('/f')) ?? []) break
    expect([returned, caller.workingDirectory]).toEqual([3, '/w'])
  })

  test('an output whose bytes are not taken is given up, and that is waited for', async () => {
    const sink = new GoneSink()
    const own = await untilEnded({ ...gone, sink: async () => sink }, end.signal).sink({ kind: 'file', name: 'f' }, signal)
    const [written, copied, committed] = [own.write(Buffer.from('x')), own.writeFile?.(0, 1), own.commit()]
    end.abort()
    for (const call of [written, copied, committed]) await expect(call).rejects.toBe(end.signal.reason)
    await own.abort('no')
    expect(sink.calls).toEqual(['write', 'writeFile', 'commit', 'abort'])
  })

  test('one that is open after the end is given up', async () => {
    let open = (_sink: Sink) => {}
    const opening = new Promise<Sink>((resolve) => {
      open = resolve
    })
    const asked = untilEnded({ ...gone, sink: () => opening }, end.signal).sink({ kind: 'file', name: 'f' }, signal)
    end.abort()
    await expect(asked).rejects.toBe(end.signal.reason)
    const aborted = new Promise((resolve) => open({ write: never, commit: never, abort: async (reason) => resolve(reason) }))
    expect(await aborted).toBe(end.signal.reason)
  })
})
