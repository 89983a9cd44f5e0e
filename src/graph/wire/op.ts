import { type Codec, flag, integer, listOf, object, oneOf, optional, plain, text, variants } from '../../base/codec.ts'
import { isDigest } from '../../base/digest.ts'
import type { Login } from '../../base/mask-url.ts'
import type { Platform } from '../../values/platform.ts'
import { settingsCodec } from '../../values/process-settings.ts'
import type { ContextOp, CopyOp, CopyOpSource, ExecOp, ExecOpMount, GitOp, HttpOp, ImageOp, Op, WorkdirOp } from '../op.ts'

/**
 * Ops as they leave the machine. What is the caller's own stays with it: the login of a URL, and the values of proxy variables, which may hold one. The op
 * says that they are there, secrets and agents are ids (with the image whose trigger asks), and who runs the op asks the caller for them. What a Dockerfile
 * or a build argument says is part of the op, as it is part of its key, its record and the image's history.
 */
export type PortableOp = ImageOp | ContextOp | PortableHttpOp | PortableGitOp | PortableExecOp | CopyOp | WorkdirOp

type PortableHttpOp = Omit<HttpOp, 'login'> & { readonly hasLogin: boolean }
type PortableGitOp = Omit<GitOp, 'login'> & { readonly hasLogin: boolean }
/** `proxyNames`: those of `proxyEnv`. */
type PortableExecOp = Omit<ExecOp, 'proxyEnv'> & { readonly proxyNames: readonly string[] }

/** What does not leave the machine. */
export interface Withheld {
  readonly login: Login | undefined
  /** NAME=value. */
  readonly proxyEnv: readonly string[]
}

/** The op without that. */
export function portable(op: Op): PortableOp {
  switch (op.kind) {
    case 'http':
    case 'git': {
      const { login, ...rest } = op
      return { ...rest, hasLogin: login !== undefined }
    }
    case 'exec': {
      const { proxyEnv, ...rest } = op
      return { ...rest, proxyNames: proxyEnv.map(variableName) }
    }
    default:
      return op
  }
}

export function withheldOf(op: Op): Withheld {
  return { login: 'login' in op ? op.login : undefined, proxyEnv: op.kind === 'exec' ? op.proxyEnv : [] }
}

/** The op again, with what the caller answered. */
export function restore(op: PortableOp, { login, proxyEnv }: Withheld): Op {
  switch (op.kind) {
    case 'http':
    case 'git': {
      const { hasLogin, ...rest } = op
      return hasLogin && login !== undefined ? { ...rest, login } : rest
    }
    case 'exec': {
      const { proxyNames, ...rest } = op
      return { ...rest, proxyEnv: proxyEnv.filter((variable) => proxyNames.includes(variableName(variable))) }
    }
    default:
      return op
  }
}

function variableName(variable: string): string {
  return variable.split('=', 1)[0] as string
}

const digest = plain('a sha256 digest', isDigest)
const texts = listOf(text)
/** Of 32 bits: a mode, a uid, a gid. */
const word = integer(0, 2 ** 32 - 1)

const platform = object<Platform>({ os: text, architecture: text, variant: optional(text), osVersion: optional(text) })

const copySource = variants<CopyOpSource, 'kind'>('kind', {
  path: object<Extract<CopyOpSource, { readonly kind: 'path' }>>({
    kind: oneOf('path'),
    input: integer(-1),
    path: text,
    unpack: oneOf<'auto' | boolean>('auto', true, false),
  }),
  content: object({ kind: oneOf('content'), name: text, text }),
})

type Mount<T extends ExecOpMount['type']> = Extract<ExecOpMount, { readonly type: T }>

const ofMounts = { input: optional(integer(0)), cacheId: optional(text), written: optional(text), triggerOf: optional(text) }
/** A secret and an agent. */
const asked = { id: text, target: optional(text), required: flag, mode: word, uid: word, gid: word }

const mount = variants<ExecOpMount, 'type'>('type', {
  bind: object<Mount<'bind'>>({ ...ofMounts, type: oneOf('bind'), target: text, from: optional(text), source: text, readonly: flag }),
  cache: object<Mount<'cache'>>({
    ...ofMounts,
    type: oneOf('cache'),
    target: text,
    id: optional(text),
    from: optional(text),
    source: optional(text),
    sharing: oneOf('shared', 'private', 'locked'),
    readonly: flag,
    mode: optional(word),
    uid: optional(word),
    gid: optional(word),
  }),
  tmpfs: object<Mount<'tmpfs'>>({ ...ofMounts, type: oneOf('tmpfs'), target: text, readonly: flag, size: optional(integer(0)) }),
  secret: object<Mount<'secret'>>({ ...ofMounts, ...asked, type: oneOf('secret'), env: optional(text) }),
  ssh: object<Mount<'ssh'>>({ ...ofMounts, ...asked, type: oneOf('ssh') }),
})

const exec = object<PortableExecOp>({
  kind: oneOf('exec'),
  args: texts,
  env: texts,
  argNames: optional(texts),
  proxyNames: texts,
  cwd: text,
  user: text,
  hostname: text,
  network: oneOf('default', 'none', 'host'),
  security: oneOf('sandbox', 'insecure'),
  mounts: listOf(mount),
  script: optional(object({ path: text, text })),
  settings: settingsCodec(),
  platform,
})

const copy = object<CopyOp>({
  kind: oneOf('copy'),
  sources: listOf(copySource),
  destination: text,
  written: optional(text),
  chown: optional(text),
  chmod: optional(text),
  link: flag,
  parents: flag,
  mirror: optional(flag),
  exclude: texts,
  createdTime: optional(integer()),
})

const git = object<PortableGitOp>({
  kind: oneOf('git'),
  remote: text,
  hasLogin: flag,
  ref: optional(text),
  subdir: optional(text),
  checksum: optional(text),
  keepGitDir: flag,
  submodules: flag,
  mtime: optional(oneOf('checkout', 'commit')),
  triggerOf: optional(text),
})

export const opCodec: Codec<PortableOp> = variants<PortableOp, 'kind'>('kind', {
  image: object<ImageOp>({ kind: oneOf('image'), name: text, platform, digest, resolved: optional(digest) }),
  context: object<ContextOp>({ kind: oneOf('context'), name: text }),
  http: object<PortableHttpOp>({
    kind: oneOf('http'),
    url: text,
    hasLogin: flag,
    checksum: optional(digest),
    filename: text,
    triggerOf: optional(text),
  }),
  git,
  exec,
  copy,
  workdir: object<WorkdirOp>({ kind: oneOf('workdir'), path: text, user: text, createdTime: optional(integer()) }),
})
