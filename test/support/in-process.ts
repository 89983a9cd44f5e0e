import { Writable } from 'node:stream'
import { main } from '../../src/cli/main.ts'
import { type Bases, type Builder, buildArguments, refusal } from './differential.ts'

/** The command line without a process of its own: what a few hundred small builds can afford. As root only: others enter a user namespace. */
export function inProcessBuilder(store: string, bases: Bases): Builder {
  return {
    name: 'tbuild',
    async build(context, args, archive) {
      const stderr = collector()
      const streams = { stdin: process.stdin, stdout: collector().stream, stderr: stderr.stream, env: process.env }
      const status = await main(buildArguments(store, bases, context, args, archive), streams)
      return status === 0 ? undefined : refusal(stderr.text())
    },
  }
}

function collector(): { stream: NodeJS.WriteStream; text(): string } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => Buffer.concat(chunks).toString('utf8') }
}
