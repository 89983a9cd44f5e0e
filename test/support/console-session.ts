import { spawnSync } from 'node:child_process'

/** One command of a document and what it printed there. */
export interface Exchange {
  readonly command: string
  readonly output: string
}

const BLOCK = /^```console\n([\s\S]*?)^```$/gm

/** The commands in the `console` blocks of a Markdown text: `$ ` begins one, `> ` goes on with it, all else is output. */
export function exchanges(markdown: string): Exchange[] {
  return [...markdown.matchAll(BLOCK)].flatMap(([, body = '']) => {
    const found: { command: string; output: string }[] = []
    for (const line of body.split('\n').slice(0, -1)) {
      const last = found.at(-1)
      if (line.startsWith('$ ')) found.push({ command: line.slice(2), output: '' })
      else if (last !== undefined && line.startsWith('> ') && last.output === '') last.command += `\n${line.slice(2)}`
      else if (last !== undefined) last.output += `${line}\n`
    }
    return found
  })
}

/** Runs the commands one after the other in one shell, which keeps its directory; both streams are what a reader would see. */
export function runSession(commands: readonly string[], options: { cwd: string; env: NodeJS.ProcessEnv }): string[] {
  const mark = '-- end of command --'
  const script = commands.map((command) => `${command}\necho '${mark}'\n`).join('')
  const { stdout } = spawnSync('bash', ['-c', `exec 2>&1\n${script}`], { encoding: 'utf8', timeout: 300_000, ...options })
  return stdout.split(`${mark}\n`).slice(0, -1)
}

/** Digests and times, which differ from machine to machine. */
export function withoutDigests(text: string): string {
  return text
    .replace(/sha256:[0-9a-f]{64}/g, 'sha256:…')
    .replace(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, '2026-01-02T03:04:05.678Z')
    .replace(/^(#\d+ DONE )\d+\.\d+s$/gm, '$10.0s')
    .replace(/^(#\d+ )\d+\.\d{3} /gm, '$10.000 ')
}

/** The document with other outputs. */
export function withOutputs(markdown: string, outputs: readonly string[]): string {
  let index = 0
  return markdown.replace(BLOCK, (block) => {
    const body = exchanges(block).map(({ command }) => `$ ${command.replaceAll('\n', '\n> ')}\n${outputs[index++] ?? ''}`)
    return `\`\`\`console\n${body.join('')}\`\`\``
  })
}
