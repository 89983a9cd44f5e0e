import { closeSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { emptyView, layeredView } from '../../../src/tree/view.ts'
import { type LayerWriter, layerWriter } from '../../../src/tree/writer.ts'
import { listing, temporary } from './folders.ts'

const { folder } = temporary()

/** More names than a writer remembers, for files that others would make. */
function fill(writer: LayerWriter, directory: string): void {
  for (let index = 0; index < 40_000; index += 1) writer.newName(`${directory}/${index}`)
}

test('names that a writer has forgotten are asked for', () => {
  const upper = folder('upper')
  const writer = layerWriter(upper, emptyView())
  for (const name of ['early', 'full']) writer.directory(name)
  closeSync(writer.file('early/file'))
  writer.expect('early/expected')
  fill(writer, 'full')
  closeSync(writer.file('full/last'))
  expect(['early/file', 'early/expected', 'early/none', 'full/last', 'full/none'].map((key) => writer.isFree(key))).toEqual([
    ...[false, false, true],
    ...[false, true],
  ])
  expect(writer.at('early/none')).toBeUndefined()
  writer.directory('early/file')
  writer.arrived('early/expected')
  expect(listing(writer)).toEqual(listing(layeredView([upper])))
  expect(writer.at('early/file')?.type).toBe('directory')
  writer.finish()
})
