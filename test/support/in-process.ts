import type { Io } from '../../src/cli/io.ts'
import { main } from '../../src/cli/main.ts'
import { type Bases, type Builder, buildArguments, refusal } from './differential.ts'

/** The command line without a process of its own: what a few hundred small builds can afford. As root only: others enter a user namespace. */
export function inProcessBuilder(store: string, bases: Bases): Builder {
  return {
    name: 'tbuild',
    async build(context, args, archive) {
      const stderr = collector()
      const io: Io = { stdin: process.stdin, stdout: collector().stream, stderr: stderr.stream, env: process.env }
      const status = await main(buildArguments(store, bases, context, args, archive), io)
      return status === 0 ? undefined : refusal(stderr.text())
    },
  }
}

function collector(): { stream: NodeJS.WriteStream; text(): string } {
  let text = ''
  const write = (data: string | Uint8Array) => {
    text += typeof data === 'string' ? data : Buffer.from(data).toString('utf8')
    return true
  }
  return { stream: { write } as unknown as NodeJS.WriteStream, text: () => text }
}
