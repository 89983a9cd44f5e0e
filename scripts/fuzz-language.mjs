// Random cases of a third kind: what the language does before anything is copied or run. Words with nested expansions in every instruction, continuations,
// comments and heredocs in odd places, ARGs of several scopes, triggers, stages. The same seed gives the same case.
import { Dice } from './fuzz-case.mjs'

const NAMES = ['A', 'B', 'C', 'D']
const STAGES = ['one', 'two', 'three']

/** A word with variables, quotes and escapes, that is mostly valid. */
function word(dice, depth = 0) {
  const name = dice.of(NAMES)
  const inner = () => (depth > 2 ? 'x' : word(dice, depth + 1))
  const part = () =>
    dice.of([
      () => dice.of(['a', 'b/c', 'x.y', '1', '-', '_']),
      () => `$${name}`,
      () => `\${${name}}`,
      () => `\${${name}${dice.of([':-', '-', ':+', '+'])}${inner()}}`,
      () => `\${${name}${dice.of(['#', '##', '%', '%%'])}${dice.of(['*a', 'a*', '?', 'x', '\\*', '*/'])}}`,
      () => `\${${name}${dice.of(['/', '//'])}${dice.of(['a', '?', 'b*', '\\/'])}/${dice.of(['', 'z', inner()])}}`,
      () => `"${dice.of(['', 'q r', `$${name}`, `\${${name}:-e f}`, "'", '\\"', '\\$A'])}"`,
      () => `'${dice.of(['', 's t', '$A', '"', '\\'])}'`,
      () => dice.of(['\\$', '\\a', '\\\\', '\\"', '\\ ']),
      () => (dice.below(12) === 0 ? dice.of([`\${`, '"', `\${A:?no}`, `\${A!}`, '$', '$1', `\${}`]) : 'k'),
    ])()
  return Array.from({ length: 1 + dice.below(3) }, part).join('')
}

/** Words of an instruction that splits at blanks have none of their own. */
const plain = (dice) => word(dice).replaceAll(' ', '_')

/** A line end inside an instruction. */
const gap = (dice) =>
  dice.of([' ', ' ', ' ', '  ', '\t', ' \\\n', ' \\\n  ', ' \\  \n', ' \\\n# comment\n', ' \\\n\n', ' \\\n  # indented\n\n  '])

function argument(dice) {
  const one = () => dice.of([() => dice.of(NAMES), () => `${dice.of(NAMES)}=${word(dice)}`])()
  return `ARG ${Array.from({ length: 1 + dice.below(2) }, one).join(gap(dice))}`
}

function instruction(dice) {
  const space = () => gap(dice)
  return dice.of([
    () => argument(dice),
    () => argument(dice),
    () => `ENV${space()}${dice.of(NAMES)}=${word(dice)}${space()}${dice.of(NAMES)}=${word(dice)}`,
    () => `ENV ${dice.of(NAMES)}${dice.of([' ', '  '])}${word(dice)} tail`,
    () => `LABEL${space()}${dice.of(['l', '"m n"', `k${dice.of(NAMES)}`, `$${dice.of(NAMES)}x`])}=${word(dice)}`,
    () =>
      `EXPOSE ${dice.of(['80', '81/udp', '90-92', `\${${dice.of(NAMES)}:+70}1`, '1:2', '8000/TCP'])}${space()}${dice.of(['443', '22'])}`,
    () => `VOLUME ${dice.of([`/${plain(dice)}`, `["/v", ${JSON.stringify(`/${plain(dice)}`)}]`, '/v1 /v2'])}`,
    () => `USER ${dice.of(['1', '1:2', `u\${${dice.of(NAMES)}:+v}`])}`,
    () => `WORKDIR ${dice.of(['/w', 'rel', '../up', '/a//b/', `/\${${dice.of(NAMES)}:+w}x`, '.'])}`,
    () => `STOPSIGNAL ${dice.of(['9', 'SIGTERM', `\${${dice.of(NAMES)}:+SIGKILL}SIGHUP`, 'KILL'])}`,
    () => `SHELL ${dice.of(['["/bin/sh", "-ec"]', '["sh","-c"]'])}`,
    () => `CMD ${dice.of([`["a", ${JSON.stringify(word(dice))}]`, `echo ${word(dice)}${space()}b`, "['x']", '[]', '["a",]'])}`,
    () => `ENTRYPOINT ${dice.of(['["e"]', `e ${word(dice)}`, '[]'])}`,
    () => `MAINTAINER ${word(dice)} <m>`,
    () => `${dice.of(['env', 'Env', 'eNV'])} ${dice.of(NAMES)}=${word(dice)}`,
    () => heredoc(dice),
    () =>
      `ONBUILD ${dice.of([() => argument(dice), () => `ENV ${dice.of(NAMES)}=${word(dice)}`, () => `LABEL o=${word(dice)}`, () => heredoc(dice), () => 'CMD t'])()}`,
    () => `# ${dice.of(NAMES)} ${dice.of(['says', 'check=skip=all'])}`,
    () => '',
  ])()
}

function heredoc(dice) {
  const delimiter = dice.of(['E', '"E"', "'E'", '\\E', 'E"F"'])
  const name = delimiter.replace(/["'\\]/g, '')
  const dash = dice.of(['', '', '-'])
  const body = Array.from(
    { length: dice.below(4) },
    () => `${dash === '' ? '' : '\t'}${dice.of([word(dice), '# no comment', 'a \\', '', "it's"])}`,
  )
  const end = `${dash === '' ? '' : dice.of(['', '\t'])}${name}`
  return [`COPY <<${dash}${delimiter}${dice.of([' ', ' \\\n '])}/h${dice.below(3)}`, ...body, end].join('\n')
}

export function randomLanguageCase(seed) {
  const dice = new Dice(seed)
  const lines = dice.of([[], [], ['# escape=\\'], ['# syntax_=x']]).slice()
  for (let count = dice.below(3); count > 0; count--) lines.push(argument(dice))
  const stages = 1 + dice.below(3)
  for (let index = 0; index < stages; index++) {
    const earlier = STAGES.slice(0, index)
    lines.push(
      `FROM ${dice.of(['scratch', 'busybox', `\${${dice.of(NAMES)}:+}scratch`, ...earlier, ...earlier])}${dice.of([' AS ', ' as '])}${STAGES[index]}`,
    )
    for (let count = 1 + dice.below(6); count > 0; count--) lines.push(instruction(dice))
  }
  // docker cannot save an image without a layer.
  lines.push('COPY file /file')
  return { setup: 'echo x > file', dockerfile: `${lines.join(dice.of(['\n', '\n', '\r\n']))}\n` }
}
