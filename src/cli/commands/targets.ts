import type { BuildHooks, BuildOptions } from '../../build-options.ts'
import type { Target, TargetsResult } from '../../engine/questions.ts'
import { listTargets } from '../../inquiry.ts'
import { base64, location } from '../location.ts'
import { alignTabs } from '../table.ts'
import type { Answer } from './answer.ts'

/** `--call=targets` */
export async function answer(options: BuildOptions, hooks: BuildHooks): Promise<Answer> {
  const result = await listTargets(options, hooks)
  return { text: () => text(result), json: () => json(result), status: 0 }
}

function text({ targets }: TargetsResult): string {
  const rows = targets.map(({ name, isDefault, description }) => {
    const shown = [name, isDefault ? '(default)' : undefined].filter((part) => part !== undefined)
    return [shown.join(' '), description ?? '']
  })
  return alignTabs([['TARGET', 'DESCRIPTION'], ...rows], 1)
}

/** BuildKit's frontend.targets. */
function json({ file, targets }: TargetsResult): object {
  return { targets: targets.map(target), sources: [base64(file)] }
}

function target({ name, isDefault, description, base, platform, span }: Target): object {
  return {
    ...(name ? { name } : {}),
    ...(isDefault ? { default: true } : {}),
    ...(description ? { description } : {}),
    base,
    ...(platform ? { platform } : {}),
    location: location(span),
  }
}
