import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { countCalls, faultLibrary, forEach, runTbuild, spread, tbuildBin } from '../support/fault/fault.ts'
import { Workload } from '../support/fault/workload.ts'
import { testWith } from '../support/needs.ts'

/** All of it by `npm run crash-test`. */
const whole = process.env.TBUILD_CRASH_POINTS === 'all'
const HOURS = 4 * 3600_000
const asRoot = testWith(process.getuid?.() === 0, 'root')

let workload: Workload
let image: string
let calls: number

beforeAll(async () => {
  faultLibrary()
  workload = new Workload()
  const place = workload.place()
  calls = await countCalls(workload.build(place), place)
  image = workload.image(place)
  workload.forget(place)
}, 300_000)
afterAll(() => workload.dispose(), 120_000)

/** An error that says what to do, and no bug of ours. */
function expectClear(stderr: string, code: RegExp): void {
  if (!code.test(stderr) || /code: BUG|internal error|\n {4}at /.test(stderr)) throw new Error(`no clear error: ${stderr}`)
}

describe('a full disk', () => {
  /** The tmpfs lives in a mount namespace of its own and ends with it. What each command said is in files beside it. */
  const SCRIPT = `
    mount -t tmpfs -o mode=700,size=$2 tmpfs "$1/store" || exit 9
    "$3" "$4" $5 > "$1/first" 2>&1; echo $? > "$1/first.status"
    df -B1 --output=used "$1/store" | tail -1 > "$1/used"
    mount -o remount,size=256m "$1/store" || exit 9
    "$3" "$4" verify-store --check-only --root "$1/store" > "$1/verify" 2>&1; echo $? > "$1/verify.status"
    "$3" "$4" $5 > "$1/second" 2>&1; echo $? > "$1/second.status"
    ls "$1/store/v1/tmp" "$1/store/v1/leases" > "$1/left"`

  function onTmpfs(place: string, bytes: number) {
    mkdirSync(join(place, 'store'))
    const build = workload.build(place).join(' ')
    execFileSync('unshare', ['-m', 'sh', '-c', SCRIPT, 'sh', place, String(bytes), process.execPath, tbuildBin, build])
    const read = (name: string) => readFileSync(join(place, name), 'utf8').trim()
    return { read, status: (name: string) => Number(read(`${name}.status`)) }
  }

  asRoot(
    'that fills up at a random point is a clear error, and the build goes on after it',
    async () => {
      const empty = workload.place()
      const needed = Number(onTmpfs(empty, 256 * 1024 * 1024).read('used'))
      workload.forget(empty)
      let filled = 0
      const failures = await forEach(spread(needed, whole ? 50 : 4), 2, async (bytes) => {
        const place = workload.place()
        try {
          const { read, status } = onTmpfs(place, bytes)
          if (status('first') !== 0) {
            filled += 1
            expectClear(read('first'), /code: STORE_FULL|No space left on device/)
          }
          if (status('verify') !== 0) throw new Error(`the store is damaged: ${read('verify')}`)
          if (status('second') !== 0) throw new Error(`the build does not go on: ${read('second')}`)
          if (workload.image(place) !== image) throw new Error('another image')
          const left = read('left')
            .split('\n')
            .filter((line) => /^[0-9a-f]{16}/.test(line))
          if (left.length > 0) throw new Error(`left: ${left.join(' ')}`)
        } finally {
          workload.forget(place)
        }
      })
      expect(failures).toEqual([])
      expect(filled).toBeGreaterThan(whole ? 40 : 2)
      if (whole) process.stderr.write(`full disk: filled up ${filled} times\n`)
    },
    HOURS,
  )
})

describe('a device that fails', () => {
  const ERRORS = ['EIO', 'ENOSPC', 'EROFS', 'EACCES', 'EDQUOT'] as const

  test.each(ERRORS)(
    'with %s at any write, once or from then on, is a clear error or none, and the build goes on after it',
    async (name) => {
      let seen = 0
      const failures = await forEach(spread(calls, whole ? 120 : Number(process.env.TBUILD_FAULT_POINTS ?? 4)), 2, async (at) => {
        const place = workload.place()
        try {
          const run = await runTbuild(workload.build(place), { root: place, at, action: constants.errno[name], stay: at % 2 === 0 })
          if (run.status !== 0) {
            seen += 1
            expectClear(run.stderr, /code: [A-Z_]+\n/)
          } else if (workload.image(place) !== image) throw new Error('another image')
          await workload.checkAndFinish(place, image)
        } finally {
          workload.forget(place)
        }
      })
      expect(failures).toEqual([])
      if (whole) process.stderr.write(`${name}: ${seen} builds failed\n`)
    },
    HOURS,
  )

  test('permissions that others could use are refused until they are mended', async () => {
    const place = workload.place()
    expect((await runTbuild(workload.build(place))).status).toBe(0)
    chmodSync(join(place, 'store/v1'), 0o777)
    const refused = await runTbuild(workload.build(place))
    expectClear(refused.stderr, /code: STORE_UNSAFE/)
    chmodSync(join(place, 'store/v1'), 0o700)
    await workload.checkAndFinish(place, image)
  }, 60_000)

  asRoot(
    'a read-only store is a clear error',
    () => {
      const place = workload.place()
      mkdirSync(join(place, 'store'))
      const script = `
      mount -t tmpfs -o mode=700 tmpfs "$1/store" && "$2" "$3" $4 > "$1/first" 2>&1 || exit 9
      mount -o remount,ro "$1/store" || exit 9
      "$2" "$3" $4 --no-cache > "$1/second" 2>&1 && exit 9; exit 0`
      execFileSync('unshare', ['-m', 'sh', '-c', script, 'sh', place, process.execPath, tbuildBin, workload.build(place).join(' ')])
      expectClear(readFileSync(join(place, 'second'), 'utf8'), /code: STORE_READONLY/)
    },
    60_000,
  )
})
