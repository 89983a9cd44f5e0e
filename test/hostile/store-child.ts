/** A process that uses a store, driven by test/hostile/store.test.ts: `node child ROOT COMMAND ARGS…`. It prints one line when it is where the test wants it. */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sha256 } from '../../src/base/digest.ts'
import { createSnapshotter } from '../../src/snapshot/snapshotter.ts'
import { collect } from '../../src/store/collect.ts'
import { openStore } from '../../src/store/store.ts'
import type { LayerId } from '../../src/store/types.ts'

const [root = '', command = '', ...args] = process.argv.slice(2)
const store = await openStore(root, { onNotice: (message) => say(`notice ${message}`) })
const snapshots = createSnapshotter(store)

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function forever(): Promise<never> {
  for (;;) await sleep(1000)
}

async function layerWith(text: string, id?: LayerId): Promise<LayerId> {
  const active = await snapshots.prepare([])
  writeFileSync(join(active.upper, 'file'), text)
  return await snapshots.commit(active, id === undefined ? {} : { id })
}

/** One step of a build: the layer of `name`, from the cache or made; `log` gets a line for each that is made. */
async function step(name: string, log: string): Promise<LayerId> {
  const key = sha256(name)
  const now = new Date().toISOString()
  return await store.locks.singleFlight(
    key,
    async () => (await store.cache.find(key))?.layers[0],
    async () => {
      appendFileSync(log, `${name}\n`)
      const id = await layerWith(name)
      await store.cache.save({ version: 1, key, parts: [], step: name, layers: [id], created: now, lastUsed: now })
      return id
    },
  )
}

const commands: Record<string, () => Promise<void>> = {
  /** key, file that says it is done, log, milliseconds. */
  async flight() {
    const [key = '', done = '', log = '', time = '0'] = args
    const find = async () => (existsSync(done) ? 'found' : undefined)
    const result = await store.locks.singleFlight(key, find, async () => {
      appendFileSync(log, 'run\n')
      say('running')
      await sleep(Number(time))
      writeFileSync(done, '')
      return 'made'
    })
    say(result)
  },
  async commit() {
    say(await layerWith(`by ${process.pid}`, args[0] as LayerId))
  },
  /** Holds half-made things of every kind. */
  async half() {
    const active = await snapshots.prepare([])
    writeFileSync(join(active.upper, 'file'), 'half')
    say(active.upper)
    async function* endless() {
      for (;;) {
        yield Buffer.alloc(1024)
        await sleep(10)
      }
    }
    await store.blobs.put(endless())
  },
  async mount() {
    say((await store.cacheMounts.acquire({ id: 'm', sharing: 'locked' })).directory)
    await forever()
  },
  /** steps, log, rounds: builds that check what they were given. */
  async builds() {
    const [steps = '1', log = '', rounds = '1'] = args
    for (let round = 0; round < Number(rounds); round++) {
      for (let index = 0; index < Number(steps); index++) {
        const id = await step(`step ${index}`, log)
        const [directory] = await snapshots.directories([id])
        await sleep(1)
        if (readFileSync(join(directory as string, 'file'), 'utf8') !== `step ${index}`) throw new Error(`wrong layer for step ${index}`)
      }
    }
    say('ok')
  },
  async collect() {
    for (let round = 0; round < Number(args[0]); round++) {
      await collect(store, { rules: [{}] })
      await sleep(2)
    }
    say('ok')
  },
  /** Blobs and layers until an error; its code is said. */
  async fill() {
    try {
      for (let index = 0; ; index++) {
        await store.blobs.put(Buffer.alloc(100_000, `blob ${index}`))
        await step(`${'x'.repeat(50_000)} ${index}`, '/dev/null')
        await store.flush()
      }
    } catch (error) {
      say(`${(error as { code?: string }).code} ${(error as { hint?: string }).hint}`)
    }
  },
}

await commands[command]?.()
await store.close()
