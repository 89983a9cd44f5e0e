// Random cases of one subject: sources with wildcards, `**` above all, over a small tree with links, of which a client of BuildKit sends a part only.
import { Dice } from './fuzz-case.mjs'

const NAMES = ['a', 'b', 'sub', 'asub', 'x.txt', 'y.txt']
const PARTS = ['**', '**', '*', '*sub', '*.txt', 'a', 'sub', 'a*', '[ab]', '[^a]*', '?', 'a**b', '**.txt', 's**', '\\a', 'link', 'l*']

const joined = (dice, of, most) => Array.from({ length: 1 + dice.below(most) }, () => dice.of(of)).join('/')

function source(dice) {
  const inside = dice.chance(0.7) ? `${dice.of(['e', 'e', 'e/a', 'f', 'link'])}/` : ''
  const text = `${inside}${joined(dice, PARTS, 4)}`
  return dice.chance(0.1) ? `/${text}` : text
}

/** @param {number} seed */
export function randomWildcardsCase(seed) {
  const dice = new Dice(seed)
  const setup = ['mkdir -p e/a f; echo 1 > e/a/x.txt; echo 2 > f/b']
  for (let count = 4 + dice.below(10); count > 0; count--) {
    const path = `${dice.of(['e', 'e', 'f', '.'])}/${joined(dice, NAMES, 3)}`
    setup.push(
      `(mkdir -p $(dirname ${path}) && ${dice.chance(0.2) ? `mkdir ${path}` : `echo ${dice.below(9)} > ${path}`}) 2>/dev/null || true`,
    )
  }
  if (dice.chance(0.4))
    setup.push(`ln -s ${dice.of(['e', 'e/a', '../f', 'none', '/e'])} ${dice.of(['link', 'e/link', 'f/l'])} 2>/dev/null || true`)
  if (dice.chance(0.15)) setup.push(`printf '${dice.of(['e/a', '*.txt', '**/sub', 'e\\n!e/a'])}\\n' > .dockerignore`)
  const copies = Array.from({ length: 1 + dice.below(2) }, (_, index) => {
    const more = dice.chance(0.2) ? [source(dice)] : []
    return `COPY ${JSON.stringify([source(dice), ...more, `/d${index}/`])}`
  })
  return { setup: setup.join('\n'), dockerfile: `FROM busybox\n${copies.join('\n')}\n` }
}
