import { resolve } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { benchOptions, UsageError } from '../../../bench/options.ts'

const KNOWN = { loads: ['cached', 'copy'], peers: ['docker', 'buildah'] }
const options = (args: readonly string[], environment: NodeJS.ProcessEnv = {}) => benchOptions(args, environment, KNOWN)

test('without any everything is measured with both amounts, against whoever is found', () => {
  expect(options([])).toEqual({
    loads: [],
    rounds: 3,
    sizes: ['small', 'large'],
    peers: undefined,
    prefix: [],
    checkouts: new Map(),
    registry: undefined,
    output: resolve('build/bench'),
    document: undefined,
    timeout: 900,
    isPruning: false,
    action: 'measure',
  })
})

test('each option is taken', () => {
  const args = ['copy', '--rounds', '5', '--size', 'large', '--peers', 'docker,buildah', '--registry', '127.0.0.1:5000', '--timeout', '60']
  const more = ['--checkout', 'before=/old', '--out', '/results', '--update', 'page.md', '--prune', '--prefix', 'in  box']
  expect(options([...args, ...more])).toEqual({
    loads: ['copy'],
    rounds: 5,
    sizes: ['large'],
    peers: ['docker', 'buildah'],
    prefix: ['in', 'box'],
    checkouts: new Map([['before', '/old']]),
    registry: '127.0.0.1:5000',
    output: '/results',
    document: resolve('page.md'),
    timeout: 60,
    isPruning: true,
    action: 'measure',
  })
})

test('the prefix is the environment’s, unless it is given', () => {
  const environment = { TBUILD_BENCH_PREFIX: 'box run' }
  expect(options([], environment).prefix).toEqual(['box', 'run'])
  expect(options(['--prefix', ''], environment).prefix).toEqual([])
})

test('a first look has amounts and rounds of its own', () => {
  const { sizes, rounds } = options(['--quick'])
  expect([sizes, rounds]).toEqual([['quick'], 2])
  expect(options(['--quick', '--rounds', '9']).rounds).toBe(9)
})

test('nobody may be the only one', () => {
  expect(options(['--peers', 'none']).peers).toEqual([])
})

test.each([
  [['--list'], 'list'],
  [['-h'], 'help'],
  [['--list', '--help'], 'help'],
])('%j is no measuring', (args, action) => {
  expect(options(args).action).toBe(action)
})

describe('refused is', () => {
  test.each([
    [['copies'], 'unknown load: copies; there are cached, copy'],
    [['--peers', 'docker,kaniko'], 'unknown peer: kaniko; there are docker, buildah'],
    [['--rounds', '0'], '--rounds is a whole number from 1 on, not 0'],
    [['--timeout', 'long'], '--timeout is a whole number from 1 on, not long'],
    [['--size', 'huge'], '--size is small, large or both, not huge'],
    [['--quick', '--size', 'small'], '--quick has amounts of its own'],
    [['--checkout', '/old'], '--checkout is NAME=DIR, not /old'],
    [['--checkout', 'docker=/old'], '--checkout cannot be called docker'],
    [['--checkout', 'tbuild=/old'], '--checkout cannot be called tbuild'],
    [['--fast'], "Unknown option '--fast'"],
  ])('%j', (args, message) => {
    expect(() => options(args)).toThrow(UsageError)
    expect(() => options(args)).toThrow(message)
  })
})
