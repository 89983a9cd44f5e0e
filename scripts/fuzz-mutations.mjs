// Dockerfiles for fuzz-questions.mjs: lines that are all odd cases of the language, and real files with a few bytes changed. The same seed gives the same text.
import { Dice } from './fuzz-case.mjs'

const STAGES = ['one', 'two', 'three']
const NAMES = ['A', 'B', 'API_KEY', 'C']

const word = (dice) =>
  dice.of([
    'a',
    'b/c',
    '$A',
    `\${B}`,
    `\${A:-x y}`,
    `\${A:-$(q <<E)}`,
    `\${C/a/b}`,
    `\${C/a}`,
    `\${C//a/}`,
    `\${A#*}`,
    `\${A:#b}`,
    `\${A:}`,
    `"\${A:-"x\\"y"}"`,
    `\${A:+<< E}`,
    `\${A- <<"E F"}`,
    `\${A?no}`,
    '"q r"',
    "'s t'",
    '\\"',
    '\\ ',
    '`x',
    '"',
    "'",
    '$',
    `\${`,
    'é',
    '\u00a0',
  ])

const heredocWord = (dice) =>
  `${dice.of(['', '', '', '3', 'x'])}<<${dice.of(['', '', '-'])}${dice.of(['', '', '', ' ', '\t', '\v', '\u00a0', ' \t '])}${dice.of(['E', 'E', '"E"', "'E'", '\\E', 'E"F"', '$A', `\${A}`, '<E', '', '"', "''", '"E F"', 'E\\ F', 'E;', 'E)}'])}`

const gap = (dice) => dice.of([' ', ' ', ' ', '  ', '\t', ' \\\n', ' \\\n  ', ' \\\n# comment\n', ' \\\n\n'])

function flag(dice, kind) {
  const mount = () =>
    `--mount=${dice.of(['type=cache,target=/c', 'type=tmpfs,target=/', 'from=one,target=/o', 'from=Two,target=/t', 'type=secret,id=s', 'type=ssh,required', 'type=bind,from=$A,target=/x', 'type=foo', 'target', `type=cache,target=/\${A}`, 'type=secret,id=t,required=true', 'type=cache'])}`
  return dice.of(
    kind === 'run'
      ? [mount, mount, () => `--network=${dice.of(['none', 'no\\ne', 'no`ne', '"none"', 'x', '$A'])}`]
      : [
          () =>
            `--from=${dice.of(['one', 'two', 'three', '0', '1', '7', '-1', '+0', 'ONE', '"a\\"b"', 'a\\\\b', 'o\\ne', 'o`ne', "'one'", '$A', 'b+c', 'a-', 'scratch', '"', '', `one\${`])}`,
          () => `--chown=${dice.of(['app', '1:2', 'root', 'app:1', '$A', ':g'])}`,
          () => `--chmod=${dice.of(['755', 'u+x', '9'])}`,
          () => dice.of(['--link', '--link=false', '--link=x', '--nope', '--']),
        ],
  )()
}

function instruction(dice) {
  return dice.of([
    () => {
      const heredoc = heredocWord(dice)
      return `RUN ${dice.chance(0.3) ? `${flag(dice, 'run')}${gap(dice)}` : ''}${dice.chance(0.6) ? `${word(dice)} ` : ''}${heredoc}${dice.of(['', '', ` ${word(dice)}`, ` > ${word(dice)}`])}${dice.chance(0.3) ? gap(dice) + heredocWord(dice) : ''}\nbody ${word(dice)}\n${dice.of(['E', 'E', 'E', '\tE', 'EF', 'E F', '$A', 'E)}', 'E;'])}`
    },
    () => `COPY ${heredocWord(dice)}${gap(dice)}${dice.of(['/x', heredocWord(dice)])}\nbody\n${dice.of(['E', 'E', 'EF', '$A'])}`,
    () => `COPY ${flag(dice, 'copy')}${gap(dice)}${dice.chance(0.2) ? `${flag(dice, 'copy')} ` : ''}x${gap(dice)}y`,
    () => `RUN ${flag(dice, 'run')}${gap(dice)}${dice.chance(0.4) ? flag(dice, 'run') + gap(dice) : ''}true`,
    () => `ENV ${dice.of(['"API_KEY"', `\${A}_SECRET`, '$A', 'API_KEY', 'TOKEN', 'X\\Y'])}=${word(dice)}`,
    () => `ARG ${dice.of(NAMES)}${dice.of(['', '=1', `=${word(dice)}`])}`,
    () => `ARG ${dice.of(NAMES)}`,
    () => `LABEL ${dice.of(NAMES)}=${word(dice)}`,
    () =>
      `EXPOSE ${dice.of(['80', '[::1:80:80', '[::1]:80:80', '::1:80:80', '1.2.3:80:80', '[1.2.3.4]:80:80', '1.2.3.4:80:80', ']:1:1', '[]:1:1', ':80:80', '[a]b:1:1', 'a:b', '80/x', '80-79', '[::1%lo]:1:1', '"80 81"', '$A', '[[::1]]:1:1', '1::2', 'x[:1:1', ':::1', '[:1', ':[::1]:80:80', '::80'])}`,
    () => dice.of(['CMD a', 'CMD ["a"]', 'ENTRYPOINT x', 'HEALTHCHECK CMD a', 'HEALTHCHECK NONE', 'SHELL ["sh"]', 'MAINTAINER m']),
    () =>
      dice.of([
        '',
        '#',
        '  #',
        '# A a',
        '  # A a',
        '# B says',
        '# check=skip=all',
        '  # check=skip=all',
        '# check=skip=JSONArgsRecommended,MultipleInstructionsDisallowed',
        '# check=skip=x;error',
        '#\tA b',
        '# one says',
      ]),
    () => `\\\n${dice.of(['foo bar', 'USER 1', '', '# c\nUSER 2'])}`,
    () =>
      `ONBUILD ${dice.of(['RUN x <<E\nb\nE', 'COPY --from=one a b', 'ENV A=1', 'RUN --mount=from=two,target=/x y', 'ARG C', 'CMD z', 'COPY --chown=app a b'])}`,
    () => `WORKDIR ${dice.of(['/w', 'rel', '$A'])}`,
    () => `USER ${word(dice)}`,
  ])()
}

export function randomLines(seed) {
  const dice = new Dice(seed)
  const lines = dice
    .of([
      [],
      [],
      [],
      ['# escape=`'],
      ['# check=skip=UndefinedVar'],
      ['# check=experimental=all'],

      [''],
    ])
    .slice()
  for (let count = dice.below(3); count > 0; count--) {
    if (dice.chance(0.3)) lines.push(dice.of(['# A says', '  # A says']))
    lines.push(`ARG ${dice.of(NAMES)}${dice.of(['', '=1', '=scratch', `=${word(dice)}`, `=$A`])}`)
  }
  const stages = 1 + dice.below(3)
  for (let index = 0; index < stages; index++) {
    if (dice.chance(0.3)) lines.push(dice.of(['# one says', '  # two says']))
    const base = dice.of([
      'scratch',
      'scratch',
      'busybox',
      'busybox',
      'one',
      'two',
      '$A',
      `\${C:-scratch}`,
      dice.of([
        'a@md5:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
        'A',
        'a:',
        'é',
        `a@sha256:${'A'.repeat(64)}`,
        `a@sha512:${'a'.repeat(127)}`,
        'a@sha256:abc',
        'x\u0007y',
        'a//b',
        'a..b',
        '-a',
      ]),
    ])
    const name = dice.of([STAGES[index], STAGES[index], STAGES[index], 'one', 'context', 'a-', 'Two'])
    lines.push(
      `FROM ${dice.chance(0.1) ? '--platform=$A ' : ''}${base}${dice.chance(0.8) ? ` ${dice.of(['AS', 'AS', 'as'])} ${name}` : ''}`,
    )
    for (let count = dice.below(5); count > 0; count--) lines.push(instruction(dice))
  }
  return `${lines.join(dice.of(['\n', '\n', '\n', '\r\n']))}${dice.of(['\n', '\n', ''])}`
}

const PIECES = [
  '\\',
  '"',
  "'",
  '$',
  `\${`,
  '}',
  '<<',
  '<<E',
  '\n',
  ' ',
  '\t',
  '#',
  '--',
  '=',
  ',',
  '[',
  ']',
  '`',
  ':',
  '/',
  '@',
  'FROM ',
  'ARG A\n',
  'ONBUILD ',
  '# check=skip=all\n',
  '\\\n',
  '\\\n\n',
  '&&',
  'é',
  '\u00a0',
  '\r',
  '--from=',
  '--mount=',
  '-',
]

/** One to three changes: a piece put in, a run of characters taken out, doubled or moved, two lines swapped. */
export function mutatedDockerfile(seed, texts) {
  const dice = new Dice(seed)
  let text = dice.of(texts).slice(0, 8000)
  for (let count = 1 + dice.below(3); count > 0; count--) {
    const at = dice.below(text.length + 1)
    const length = 1 + dice.below(dice.of([2, 6, 40]))
    const lines = text.split('\n')
    text = dice.of([
      () => text.slice(0, at) + dice.of(PIECES) + text.slice(at),
      () => text.slice(0, at) + dice.of(PIECES) + text.slice(at),
      () => text.slice(0, at) + text.slice(at + length),
      () => text.slice(0, at + length) + text.slice(at),
      () => lines.toSpliced(dice.below(lines.length), 1, dice.of(lines)).join('\n'),
      () => lines.toSpliced(dice.below(lines.length), 1).join('\n'),
      () => lines.toSpliced(dice.below(lines.length), 0, instruction(dice)).join('\n'),
    ])()
  }
  return text
}
