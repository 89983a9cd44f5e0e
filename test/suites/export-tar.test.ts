import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { filled } from '../../src/caller/sinks.ts'
import { exportTar } from '../../src/export/tar.ts'
import { fileSink } from '../../src/store/file-sink.ts'
import { layeredView } from '../../src/tree/view.ts'

test('a tree goes to a flat tar and comes back the same: links, modes, times, names that are not UTF-8', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tbuild-export-tar-'))
  try {
    const script = `mkdir -p a/sub b && printf one > a/sub/f && ln a/sub/f b/hard && ln -s ../a b/link && chmod 4711 a/sub/f && mkfifo b/fifo && printf x > "$(printf 'n\\377')" && touch -d 2001-02-03T04:05:06Z a b a/sub a/sub/f`
    execFileSync('sh', ['-c', `mkdir in out && cd in && ${script}`], { cwd: folder })
    const trees = [{ view: layeredView([join(folder, 'in')]), folder: undefined, epoch: undefined }]
    await filled(fileSink(join(folder, 'x.tar')), (sink) => exportTar(trees, sink))
    execFileSync('tar', ['-xpf', '../x.tar'], { cwd: join(folder, 'out') })
    const list = (name: string) =>
      execFileSync('sh', ['-c', 'find . -mindepth 1 -printf "%P %y %m %n %T@ %l\\n" | sed "s/\\.[0-9]* / /" | LC_ALL=C sort'], {
        cwd: join(folder, name),
      }).toString('latin1')
    expect(list('out')).toBe(list('in'))
    expect(list('out')).toContain('a/sub/f f 4711 2 981173106')
    const names = execFileSync('tar', ['-tf', join(folder, 'x.tar'), '--quoting-style=escape'], { encoding: 'utf8' })
      .trim()
      .split('\n')
    expect(names).toEqual(['a/', 'a/sub/', 'a/sub/f', 'b/', 'b/fifo', 'b/hard', 'b/link', 'n\\377'])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
