import type { Environment } from '../base/environment.ts'
import type { Progress } from '../base/events.ts'
import type { HostCredentials } from './credentials.ts'

/**
 * All that a build asks whoever wants it. Its end ends every wait for an answer (`untilEnded`). The command line's and the library's is this machine (`src/this-machine`); a server's is the client at the other end.
 * Nothing else of the engine looks at the process: its environment, its working directory, its standard streams, its user's home.
 */
export interface Caller {
  /** With HOME. For proxies, certificates and registries.conf, and for the programs that are run for the caller: git and docker. */
  readonly environment: Environment
  /** What reads as `-`. */
  readonly stdin: AsyncIterable<Uint8Array> | undefined
  readonly progress: Progress
  /** What a path of the request that is not absolute is relative to. Errors: WORKING_DIRECTORY. */
  readonly workingDirectory: string
  /**
   * A directory of the caller's, as one of this machine; asked again with what is `wanted` when more is known of that. `name` is what the request calls it: here a
   * path, at a client elsewhere what it shares under that name.
   */
  directory(name: string, wanted: Wanted, signal: AbortSignal): Promise<CallerDirectory | NoDirectory>
  /** A file outside of all directories that the request names: a Dockerfile, or the ignore file beside one. An absolute path; undefined when nothing is there. */
  file(path: string): Promise<AsyncIterable<Uint8Array> | undefined>
  /** Where the bytes of an output go. */
  sink(target: SinkTarget, signal: AbortSignal): Promise<Sink>
  /** The new mark of the file of an output that bears `mark` still and that got the time of now; undefined when it is to be written anew. */
  renewed(name: string, mark: FileMark): Promise<FileMark | undefined>
  /** A directory for the files of an output, named as the request has it. What it has already stays, but for what is replaced. */
  directorySink(name: string, signal: AbortSignal): Promise<DirectorySink>
  /** At most SECRET_LIMIT bytes; undefined when there is none of that id. Asked when a step wants it, and kept nowhere. */
  secret(id: string): Promise<Uint8Array | undefined>
  /** Undefined when there is none of that id; without an id the agent that the caller uses itself. What is wrong with one is said now. */
  agent(id: string | undefined): Promise<Agent | undefined>
  /** Asked once a host, when a registry wants to know who asks. `host` as references have it: docker.io, 127.0.0.1:5000. */
  credentials(host: string, signal?: AbortSignal): Promise<HostCredentials>
}

export interface CallerDirectory {
  readonly path: string
  /** The same for the same files of the same caller in every build: what was learnt of them is kept by it. */
  readonly identity: string
}

/** There is nothing of that name, or no directory. */
export type NoDirectory = 'missing' | 'other'

/** What of a directory is read. A caller elsewhere need send nothing else. */
export interface Wanted {
  /** Paths below it, or patterns of filepath.Match, each with all that is in it; undefined is all. None: is it there? */
  readonly paths: readonly string[] | undefined
  /** Rules of an ignore file. */
  readonly ignored: readonly string[]
}

export const ALL_FILES: Wanted = { paths: undefined, ignored: [] }
export const NO_FILES: Wanted = { paths: [], ignored: [] }

/** A file, of which `-` is standard output, or a docker that loads the image. */
export type SinkTarget =
  | { readonly kind: 'file'; readonly name: string }
  | { readonly kind: 'docker' /** `docker --context`. */; readonly context: string | undefined }

/** What a file shows that nobody has changed since: its caller's to read, of one line. */
export type FileMark = string

/** Each call is awaited before the next: who takes them slowly is waited for. */
export interface Sink {
  write(data: Uint8Array): Promise<void>
  /** As `write` of the first `size` bytes of an open file of this machine: where they need not be read for it. */
  writeFile?(fd: number, size: number): Promise<void>
  /** It is whole: only now is it there. */
  commit(): Promise<void>
  /** Of a file that was committed, where it can be told from any other, and from itself after a change. */
  mark?(): FileMark | undefined
  /** It is not to be, or could not be committed: nothing of it remains. Never rejects, and is waited for also after the end of the build. */
  abort(reason: unknown): Promise<void>
}

/** A directory of this machine, made when it is filled. A caller elsewhere gets what is in it with `commit`. */
export interface DirectorySink extends Omit<Sink, 'write' | 'mark'> {
  readonly path: string
}

/** BuildKit's limit of a secret. Bytes. */
export const SECRET_LIMIT = 500 * 1024

/** An agent of ssh keys. It need not refuse anything: only what a step may ask is handed on. */
export interface Agent {
  connect(): Promise<AgentConnection>
}

interface AgentConnection {
  /** One request and its answer, both without their lengths (draft-ietf-sshm-ssh-agent, section 3). Rejects when the agent is gone. */
  ask(request: Buffer): Promise<Buffer>
  close(): void
}
