import { escapeControl } from './text.ts'

/** Columns padded to their widest cell, three blanks apart, as docker prints them. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].map((row) => row.map(escapeControl))
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  return all
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] as number))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('')
}

/** As Go's tabwriter: all columns but the last are padded to the widest cell and a gap, in empty rows too. */
export function alignTabs(rows: readonly (readonly string[])[], gap: number): string {
  const cells = rows.map((row) => row.map(escapeControl))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => [...(row[column] ?? '')].length)) + gap)
  const pad = (cell: string, column: number) => cell + ' '.repeat((widths[column] as number) - [...cell].length)
  return cells.map((row) => `${row.map((cell, column) => (column === row.length - 1 ? cell : pad(cell, column))).join('')}\n`).join('')
}

/** `4.27MB`: three digits and powers of 1000, as docker's. */
export function humanSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${Number(value.toPrecision(3))}${units[unit]}`
}

const STEPS: readonly [number, string, number][] = [
  [60, 'second', 1],
  [3600, 'minute', 60],
  [86400, 'hour', 3600],
  [14 * 86400, 'day', 86400],
  [60 * 86400, 'week', 7 * 86400],
  [730 * 86400, 'month', 30 * 86400],
]

/** `3 hours ago`; `N/A` without a time. */
export function ago(created: string | undefined, now: number): string {
  const time = created === undefined ? Number.NaN : Date.parse(created)
  if (Number.isNaN(time)) return 'N/A'
  const age = Math.max(0, Math.floor((now - time) / 1000))
  const [, unit, size] = STEPS.find(([limit]) => age < limit) ?? [0, 'year', 365 * 86400]
  const count = Math.floor(age / size)
  return `${count} ${unit}${count === 1 ? '' : 's'} ago`
}
