import { unsupported } from '../usage.ts'

/** `--format` of what lists things. */
export function tableOrJson(text: string): string {
  if (text === 'table' || text === 'json') return text
  throw unsupported(`--format ${text || '""'}`, 'formats are table and json')
}
