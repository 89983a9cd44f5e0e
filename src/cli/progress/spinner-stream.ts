import { clearLine, cursorTo, type Direction, moveCursor } from 'node:readline'
import { type Screen, screenSize } from './types.ts'

/**
 * The terminal as ora needs it: with a size to count rows by (it divides by the columns), and drawing that waits for a terminal that has stopped. Lines above the
 * moving part go to the screen itself.
 */
export function spinnerStream(screen: Screen): NodeJS.WriteStream {
  const stream = {
    isTTY: screen.isTTY === true,
    get columns() {
      return screenSize(screen).columns
    },
    get rows() {
      return screenSize(screen).rows
    },
    write: (text: string) => screen.write(text) !== false,
    cursorTo: (column: number) => cursorTo(self, column),
    moveCursor: (columns: number, rows: number) => moveCursor(self, columns, rows),
    clearLine: (direction: Direction) => clearLine(self, direction),
    /** Of the events only `drain` is asked for. */
    once(_event: 'drain', listener: () => void) {
      void screen.flushed?.().then(listener)
      return self
    },
    removeListener: () => self,
  }
  const self = stream as unknown as NodeJS.WriteStream
  return self
}
