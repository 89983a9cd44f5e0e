import { decodeName, decodeText } from './utf8.ts'

/** A text with a name to show, such as a Dockerfile. Lines are split at \n; a trailing \r is kept in the text, not shown. */
export interface SourceFile {
  readonly name: string
  readonly text: string
  /** With bytes that are no UTF-8: the same without loss (decodeName), one character for one. */
  readonly exact?: string
}

/** 1-based line and column; columns count UTF-16 code units of the line. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** A half-open range of a file: `end` is the position after the last character. */
export interface Span {
  readonly file: SourceFile
  readonly start: Position
  readonly end: Position
}

/** `Dockerfile:3:5` */
export function formatPlace(span: Span): string {
  return `${span.file.name}:${span.start.line}:${span.start.column}`
}

/** A file with its bytes. */
export function sourceFile(name: string, bytes: Uint8Array): SourceFile {
  const exact = decodeName(bytes)
  const text = decodeText(exact)
  return text === exact ? { name, text } : { name, text, exact }
}
