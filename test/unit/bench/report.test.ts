import { describe, expect, test } from '@jest/globals'
import { BEGIN, END, withTable } from '../../../bench/report/document.ts'
import { figure, markdown } from '../../../bench/report/markdown.ts'
import { plot } from '../../../bench/report/plot.ts'
import type { Case, Report } from '../../../bench/result.ts'

const sample = (seconds: number) => ({ seconds, processors: seconds / 2, memory: 2 ** 20 * 50 })

const SMALL: Case = {
  load: 'copy',
  name: 'cold',
  amount: 10,
  unit: 'files',
  goal: { best: 0.4 },
  outcomes: {
    tbuild: { samples: [sample(1), sample(3), sample(2)] },
    docker: { samples: [{ ...sample(4), daemon: { processors: 6, memory: 2 ** 20 * 100 } }] },
    buildah: { samples: [], failure: 'buildah build: 125\nno space left | on device' },
  },
}
const LARGE: Case = { ...SMALL, amount: 1_000, outcomes: { ...SMALL.outcomes, tbuild: { samples: [sample(200)] } } }

const REPORT: Report = {
  machine: { date: '2026-11-30', kernel: '6.1' },
  rounds: 3,
  builders: [
    { name: 'tbuild', version: '0.1.0', isPeer: false, notes: [] },
    { name: 'docker', version: '28.5', isPeer: true, notes: ['its daemon cannot be read'] },
    { name: 'buildah', version: '1.43', isPeer: true, notes: [] },
  ],
  cases: [SMALL, LARGE],
}

describe('the tables', () => {
  const lines = markdown(REPORT).split('\n')

  test('say where and with what it was measured', () => {
    expect(lines.slice(0, 5)).toEqual([
      'date: 2026-11-30 · kernel: 6.1; medians of 3 rounds, builders in turn',
      '',
      '- tbuild 0.1.0',
      '- docker 28.5; its daemon cannot be read',
      '- buildah 1.43',
    ])
  })

  test('have medians with their spread, ratios and goals; who failed is no peer', () => {
    expect(lines).toContain('| copy: cold | 10 files | 2.00 (1.00–3.00) | 4.00 (4.00–4.00) | failed | 0.50 (docker) | 0.50 | 0.4 | no |')
  })

  test('have processors and memory of commands and daemons', () => {
    expect(lines).toContain('| copy: cold | 10 files | 1.00 | 8.00 | – | 50.0 | 150 | – |')
  })

  test('have growth as a ratio and as an exponent', () => {
    expect(lines).toContain('| copy: cold | 10 → 1,000 files | 100 | 100 (1.00) | 1.00 (0.00) | – |')
  })

  test('say why somebody failed, in a line', () => {
    expect(lines).toContain('- buildah failed at copy: cold, 10 files: buildah build: 125 no space left | on device')
  })

  test('have no growth of one amount', () => {
    expect(markdown({ ...REPORT, cases: [SMALL] })).not.toContain('exponent')
  })

  test.each([
    [0.123, '0.12'],
    [12.34, '12.3'],
    [123.4, '123'],
    [undefined, '–'],
    [Number.NaN, '–'],
  ])('show %s as %s', (value, expected) => {
    expect(figure(value)).toBe(expected)
  })
})

describe('the plot', () => {
  const svg = plot(REPORT)

  test('has a dot for each builder in each case that it has not failed', () => {
    const inLegend = REPORT.builders.length
    expect(svg.match(/<circle /g)).toHaveLength(inLegend + 4)
  })

  test('has seconds on a logarithmic axis', () => {
    expect([...svg.matchAll(/>(\S+) s<\/text>/g)].map(([, seconds]) => seconds)).toEqual(['1', '10', '100', '1000'])
    const [one = 0, ten = 0, hundred = 0] = [...svg.matchAll(/class="axis" x1="([\d.]+)"/g)].map(([, x]) => Number(x))
    expect(hundred - ten).toBeCloseTo(ten - one, 0)
  })

  test('is for light and dark pages, and closes what it opens', () => {
    expect(svg).toContain('prefers-color-scheme: dark')
    expect(svg).toMatch(/<title>.+<\/title>/)
    expect(svg.match(/<text/g)?.length).toBe(svg.match(/<\/text>/g)?.length)
  })

  test('escapes names', () => {
    const odd = { ...REPORT, cases: [{ ...SMALL, name: 'a < b & c' }] }
    expect(plot(odd)).toContain('copy: a &lt; b &amp; c, 10 files')
  })

  test('is whole when nothing was measured', () => {
    expect(plot({ ...REPORT, cases: [] })).toMatch(/^<svg [\s\S]*<\/svg>\n$/)
  })
})

describe('a document', () => {
  test('has the table between its markers, and nothing else is changed', () => {
    expect(withTable(`a\n${BEGIN}\nold\n${END}\nb\n`, '| new |\n')).toBe(`a\n${BEGIN}\n| new |\n${END}\nb\n`)
  })

  test.each(['nothing', BEGIN, `${END} ${BEGIN}`, `${BEGIN} ${BEGIN} ${END}`, `${BEGIN} ${END} ${END}`])(
    'without one pair of them is refused: %s',
    (text) => {
      expect(() => withTable(text, '')).toThrow('the document has not one')
    },
  )
})
