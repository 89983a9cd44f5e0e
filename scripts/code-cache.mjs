// Writes dist/cli.cache: the code that V8 compiles in two small builds, the second cached, for bin/load.cjs. Without it everything works, later.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { cache, loadCommand } from '../bin/load.cjs'

const silent = () => new Writable({ write: (_data, _encoding, done) => done() })
const io = { stdin: process.stdin, stdout: silent(), stderr: silent(), env: process.env }

const work = mkdtempSync(join(tmpdir(), 'tbuild-code-'))
try {
  const dockerfile = 'FROM scratch AS a\nARG A=1\nENV B=$A\nWORKDIR /w\nCOPY Dockerfile /a/\nFROM scratch\nCOPY --from=a /a /\nCMD ["c"]\n'
  writeFileSync(join(work, 'Dockerfile'), dockerfile)
  const { main, code } = loadCommand()
  // An unprivileged build starts this script again in a user namespace, where it writes the file.
  const output = `type=oci,dest=${join(work, 'a.tar')}`
  const args = ['build', '--root', join(work, 'store'), '--progress', 'plain', '-t', 'a', '-o', output, work]
  const inside = process.getuid() === 0
  const status = (await main(args, io)) + (inside ? await main(args, io) : 0)
  if (inside || status !== 0) {
    writeFileSync(`${cache}.tmp`, code())
    renameSync(`${cache}.tmp`, cache)
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
