import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { root, tbuildAsync } from '../support/cli.ts'
import { makeImage } from '../support/oci-image.ts'
import { send, startTestRegistry, type TestRegistry } from '../support/registry-server.ts'
import { openWorkspace, type Workspace } from '../support/workspace.ts'

/** What a user reads when a build fails, word for word: test/corpus/errors/README.md. */
const corpus = join(root, 'test/corpus/errors')
let workspace: Workspace
beforeAll(() => {
  workspace = openWorkspace()
}, 300_000)
afterAll(() => workspace.remove(), 120_000)

/** From the first line that begins with `ERROR: ` (a step's own has its number before). */
function report(stderr: string): string {
  return stderr.slice(stderr.search(/^ERROR: /m))
}

describe.each(readdirSync(corpus).filter((name) => !name.includes('.')))('%s', (name) => {
  test('is reported as expected', () => {
    const folder = join(corpus, name)
    const extra = existsSync(join(folder, 'arguments')) ? readFileSync(join(folder, 'arguments'), 'utf8').trim().split('\n') : []
    const { status, stdout, stderr } = workspace.run([...extra, folder])
    const got = `${status}\n${report(stderr)}`
    if (process.env.RECORD === '1') writeFileSync(join(folder, 'expected'), got)
    expect(got).toBe(readFileSync(join(folder, 'expected'), 'utf8'))
    expect(stdout).toBe('')
  })
})

describe('a registry that lies', () => {
  let registry: TestRegistry
  beforeAll(async () => {
    registry = await startTestRegistry()
  })
  afterAll(() => registry.close())

  /** `tbuild` runs in a process of its own, while this one serves: it must not block. */
  const build = async (repository: string) => {
    const folder = workspace.context({ Dockerfile: `FROM ${registry.host}/${repository}:1\nCOPY Dockerfile /\nRUN true\n` })
    const { status, stderr } = await tbuildAsync(['--root', workspace.path(repository), '--progress', 'plain', folder])
    return { status, report: report(stderr) }
  }

  test('a blob with other bytes', async () => {
    const image = makeImage()
    registry.addImage('wrong', image, '1')
    const [name, blob] = [...registry.blobs].find(([, bytes]) => bytes.equals(image.layers[0] as Buffer)) as [string, Buffer]
    const other = Buffer.from(blob)
    other[other.length - 1] = (other.at(-1) as number) ^ 1
    registry.blobs.set(name, other)
    const { status, report: text } = await build('wrong')
    expect(status).toBe(1)
    expect(text).toContain(name)
    expect(text).toMatch(/^code: DIGEST_MISMATCH$/m)
  })

  test('a blob that ends early', async () => {
    const image = makeImage({ layers: ['x'.repeat(5000)] })
    registry.addImage('short', image, '1')
    const { length } = image.layers[0] as Buffer
    registry.intercept = (request, response, { blobs }) => {
      const digest = [...blobs].find(([, bytes]) => bytes.equals(image.layers[0] as Buffer))?.[0] ?? ''
      if (!request.url?.endsWith(digest)) return false
      send(response, 200, { 'content-length': length - 5 }, image.layers[0]?.subarray(0, length - 5))
      return true
    }
    const { status, report: text } = await build('short')
    registry.intercept = undefined
    expect(status).toBe(1)
    expect(text).toMatch(/Dockerfile:\d+:1/)
    expect(text).toMatch(/^code: SIZE_MISMATCH$/m)
  })

  test('a digest that is not there', async () => {
    const digest = `sha256:${'0'.repeat(64)}`
    const folder = workspace.context({ Dockerfile: `FROM ${registry.host}/team/app@${digest}\n` })
    const { status, stderr } = await tbuildAsync(['--root', workspace.path('digest'), '--progress', 'plain', folder])
    expect(status).toBe(1)
    expect(report(stderr)).toMatch(/^code: IMAGE_NOT_FOUND$/m)
    expect(report(stderr)).toContain('>>> FROM')
  })
})
