import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore, type Store, type StoreOptions } from '../../src/store/store.ts'

/** A store in a directory of its own; both are gone after `dispose`. */
export async function temporaryStore(options: StoreOptions = {}): Promise<{ root: string; store: Store; dispose(): Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), 'tbuild-store-'))
  const store = await openStore(root, options)
  return {
    root,
    store,
    async dispose() {
      await store.close()
      await rm(root, { recursive: true, force: true })
    },
  }
}

export async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
