import { maskUrls } from '../../base/mask-url.ts'
import type { BuildHooks, BuildOptions } from '../../build-options.ts'
import type { OutlineResult } from '../../engine/questions.ts'
import { outlineTarget } from '../../inquiry.ts'
import { base64, location } from '../location.ts'
import { alignTabs } from '../table.ts'
import type { Answer } from './answer.ts'

type Mount = OutlineResult['secrets'][number]

/** `--call=outline` */
export async function answer(options: BuildOptions, hooks: BuildHooks): Promise<Answer> {
  const outline = await outlineTarget(options, hooks)
  const args = outline.args.map((arg) => (arg.value === undefined ? arg : { ...arg, value: maskUrls(arg.value) }))
  const result = { ...outline, args }
  return { text: () => text(result), json: () => json(result), status: 0 }
}

function text({ name, description, args, secrets, ssh }: OutlineResult): string {
  const head = [...(name === undefined ? [] : [['TARGET:', name]]), ...(description === undefined ? [] : [['DESCRIPTION:', description]])]
  const rows = args.map((arg) => [arg.name, arg.value ?? '', arg.description ?? ''])
  const mounts = (items: readonly Mount[]) => items.map((item) => [item.name, item.required ? 'true' : ''])
  return [
    section(head, 1),
    rows.length === 0 ? '' : section([['BUILD ARG', 'VALUE', 'DESCRIPTION'], ...rows], 3),
    secrets.length === 0 ? '' : section([['SECRET', 'REQUIRED'], ...mounts(secrets)], 3),
    ssh.length === 0 ? '' : section([['SSH', 'REQUIRED'], ...mounts(ssh)], 3),
  ].join('')
}

function section(rows: readonly (readonly string[])[], gap: number): string {
  return rows.length === 0 ? '' : `${alignTabs(rows, gap)}\n`
}

/** BuildKit's frontend.outline: what is empty is left out. */
function json({ file, name, description, args, secrets, ssh }: OutlineResult): object {
  const list = <T>(key: string, items: readonly T[], show: (item: T) => object) =>
    items.length === 0 ? {} : { [key]: items.map((item) => show(item)) }
  return {
    ...(name ? { name } : {}),
    ...(description ? { description } : {}),
    ...list('args', args, (arg) => ({
      name: arg.name,
      ...(arg.description ? { description: arg.description } : {}),
      ...(arg.value ? { value: arg.value } : {}),
      location: location(arg.span),
    })),
    ...list('secrets', secrets, mount),
    ...list('ssh', ssh, mount),
    sources: [base64(file)],
  }
}

function mount({ name, required, span }: Mount): object {
  return { name, ...(required ? { required } : {}), location: location(span) }
}
