import { Readable } from 'node:stream'
import { expect, test } from '@jest/globals'
import { readCapped } from '../../../src/base/read-capped.ts'

const chunks = ['ab', 'c', '', 'de'].map((text) => Buffer.from(text))

test('as many bytes as the limit are read, one more is too many', async () => {
  expect(String(await readCapped(Readable.from(chunks), 5))).toBe('abcde')
  expect(await readCapped(Readable.from(chunks), 4)).toBeUndefined()
  expect(await readCapped(Readable.from([]), 0)).toEqual(Buffer.alloc(0))
})

test('a stream without end is destroyed at the limit', async () => {
  let sent = 0
  const endless = new Readable({
    read() {
      sent += 1
      this.push(Buffer.alloc(1000))
    },
  })
  expect(await readCapped(endless, 100_000)).toBeUndefined()
  expect(endless.destroyed).toBe(true)
  expect(sent).toBeLessThan(1000)
})
