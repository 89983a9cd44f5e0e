import { spawnSync } from 'node:child_process'

export interface PackedFile {
  readonly name: string
  readonly data?: string
  readonly linkname?: string
  readonly uid?: number
  readonly gid?: number
  readonly mode?: number
  /** Seconds. */
  readonly mtime?: number
}

/** A ustar archive of small files and symlinks (POSIX.1-2001, pax: ustar Interchange Format). */
export function packTar(files: readonly PackedFile[]): Buffer {
  const blocks = files.flatMap(({ name, data = '', linkname, uid = 0, gid = 0, mode = 0o644, mtime = 1_000_000_000 }) => {
    const body = Buffer.from(linkname === undefined ? data : '')
    const header = Buffer.alloc(512)
    const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, '0')}\0`
    header.write(name, 0)
    header.write(octal(mode, 8), 100)
    header.write(octal(uid, 8), 108)
    header.write(octal(gid, 8), 116)
    header.write(octal(body.length, 12), 124)
    header.write(octal(mtime, 12), 136)
    header.write(' '.repeat(8), 148)
    header.write(linkname === undefined ? '0' : '2', 156)
    header.write(linkname ?? '', 157)
    header.write('ustar\0' + '00', 257)
    header.write(
      octal(
        header.reduce((sum, byte) => sum + byte, 0),
        7,
      ),
      148,
    )
    return [header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

/** Through a program of the machine; undefined where it is not installed. */
export function compressed(data: Buffer, program: string): Buffer | undefined {
  const { status, stdout } = spawnSync(program, ['-c'], { input: data, maxBuffer: 1 << 26 })
  return status === 0 ? stdout : undefined
}
