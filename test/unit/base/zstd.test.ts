import { expect, test } from '@jest/globals'
import { sys } from '../../../src/base/sys.ts'

test('a frame takes pieces, and nothing else', async () => {
  const frame = sys().zstdFrame(3)
  expect(() => sys().zstdFrame(23)).toThrow(/out of range/)
  expect(() => sys().zstdPiece({} as never, Buffer.alloc(1), 0, true)).toThrow(/another kind/)
  expect(() => sys().zstdPiece(sys().zstdDecoder(20) as never, Buffer.alloc(1), 0, true)).toThrow(/another kind/)
  expect(() => sys().zstdPiece(frame, Buffer.alloc(10), 11, true)).toThrow(/no piece/)
  expect(() => sys().zstdPiece(frame, Buffer.alloc(3584 * 1024 + 1), 0, true)).toThrow(/no piece/)
  expect(() => sys().zstdPiece(frame, Buffer.alloc(1024 * 1024), 512 * 1024 + 1, true)).toThrow(/out of range/)
  expect((await sys().zstdPiece(frame, Buffer.from('a'), 0, true)).readUInt32LE(0)).toBe(0xfd2fb528)
})

test('a decoder takes one call at a time, and what is wrong with a piece comes behind what those before it made', async () => {
  const decoder = sys().zstdDecoder(27)
  const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0])
  const block = Buffer.concat([Buffer.from([3 << 3, 0, 0]), Buffer.from('abc')])
  const output = Buffer.alloc(6)
  const running = sys().zstdDecode(decoder, [header, block], output)
  expect(() => sys().zstdDecode(decoder, [block], output)).toThrow(/at work/)
  expect(await running).toEqual([3, null])
  expect(await sys().zstdDecode(decoder, [block, Buffer.from([7, 0, 0])], output)).toEqual([3, expect.stringMatching(/corrupt/i)])
  expect(String(output)).toBe('abc\0\0\0')
  expect(() => sys().zstdDecode(decoder, ['x' as never], output)).toThrow(/Uint8Arrays/)
  expect(() => sys().zstdDecode({} as never, [], output)).toThrow(/another kind/)
  const [, problem] = await sys().zstdDecode(sys().zstdDecoder(20), [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0xff])], output)
  expect(problem).toMatch(/window|memory/i)
})
