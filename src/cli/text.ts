/** Terminal control in text of others is shown, never obeyed: a stage name must not be able to move the cursor. */
const CONTROL = /(?![\t\n])[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** Control characters, but for tab and newline, and direction overrides as `\x1b` and `\u202e`. */
export function escapeControl(text: string): string {
  return text.replace(CONTROL, (char) => {
    const code = char.charCodeAt(0)
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`
  })
}

const ESC = String.fromCharCode(27)
/** CSI and OSC sequences, ECMA-48 5.4 and 5.6. */
const SEQUENCE = new RegExp(`${ESC}(?:\\[[0-?]*[ -/]*[@-~]|\\][^${ESC}\\u0007]*(?:\\u0007|${ESC}\\\\))`, 'g')

/**
 * A line of a command's output for a place that is no terminal, or for a line that must keep its length: colours are dropped, of a line that was
 * overwritten with \r the last state is kept, other control characters are shown.
 */
export function plainLine(line: string): string {
  const states = line
    .replace(SEQUENCE, '')
    .split('\r')
    .filter((state) => state !== '')
  return escapeControl(states.at(-1) ?? '')
}

/** One line: newlines of a name (heredocs) become spaces. */
export function oneLine(text: string): string {
  return escapeControl(text.replace(/\s+/g, (space) => (space.includes('\n') ? ' ' : space)).trim())
}

/** Columns of a character: 0 combining, 2 wide (East Asian wide, emoji), else 1. Close enough to cut a line. */
function columnsOf(char: string): number {
  if (/^[\p{Mn}\p{Me}\p{Cf}]$/u.test(char)) return 0
  return /^(?:\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}])$/u.test(
    char,
  )
    ? 2
    : 1
}

export function textWidth(text: string): number {
  let width = 0
  for (const char of text) width += columnsOf(char)
  return width
}

/** The text cut to a number of columns, with `…` in place of what is missing. What is behind it costs nothing: a line may be long, and is drawn again and again. */
export function cut(text: string, columns: number): string {
  if (columns <= 0) return ''
  if (text.length * 2 <= columns) return text
  let kept = ''
  let width = 0
  let read = 0
  for (const char of text) {
    width += columnsOf(char)
    if (width > columns) return `${kept}…`
    read += char.length
    if (width < columns) kept = text.slice(0, read)
  }
  return text
}

/** Milliseconds as BuildKit writes them: `0.4s`, `12.3s`, `75.0s`. */
export function seconds(milliseconds: number): string {
  return `${(Math.max(0, milliseconds) / 1000).toFixed(1)}s`
}
