// Random cases of the other kind: a tree that one RUN after the other changes (renames, replaced types, hard links over layers, modes and owners of whole
// trees, device nodes), with mounts over parts of it, from which later stages start and copy. The same seed gives the same case.
import { Dice, imageChange, MODES } from './fuzz-case.mjs'

const NAMES = ['a', 'b', 'c', 'd']
const path = (dice) => Array.from({ length: dice.of([1, 1, 2, 2, 3]) }, () => dice.of(NAMES)).join('/')

/** One change below /t, that may fail. */
function mutation(dice) {
  const one = `/t/${path(dice)}`
  const two = `/t/${path(dice)}`
  const three = `/t/${path(dice)}`
  return dice.of([
    () => `mv ${one} ${two}`,
    () => `mv -T ${one} ${two}`,
    () => `mv ${one} /u && mkdir -p ${two} && mv /u ${two}/in`,
    () => `mv ${one} /u && mv ${two} ${one} && mv /u ${two}`,
    () => `rm -rf ${one}`,
    () => `rm -rf ${one} && mkdir -p ${one} && echo ${dice.below(9)} > ${one}/new`,
    () => `rm -rf ${one} && mkdir ${one} && rmdir ${one}`,
    () => `cp -a ${one} /u && rm -rf ${one} && mv /u ${one}`,
    () => `rm -rf ${one} && echo ${dice.below(9)} > ${one}`,
    () => `rm -rf ${one} && ln -s ${dice.of(['b', '../a', two, '/t', '.'])} ${one}`,
    () => `rm -rf ${one} && mkfifo ${one}`,
    () => `rm -rf ${one} && mknod ${one} ${dice.of(['c', 'b'])} ${dice.below(3)} ${1 + dice.below(3)}`,
    () => `ln ${one} ${two}`,
    () => `ln ${one} ${two} && rm ${one}`,
    () => `ln ${one} ${two} && echo more >> ${two}`,
    () => `ln -f ${one} ${two} && ln -f ${two} ${three}`,
    () => `echo more >> ${one}`,
    () => `truncate -s ${dice.below(3) * 5000} ${one}`,
    () => `chmod ${dice.of(MODES)} ${one}`,
    () => `chmod -R u+w,${dice.of(['g+s', 'o-r', 'a+x', 'u+s'])} ${one}`,
    () => `chown -R ${dice.below(4)}:${dice.below(4)} ${one}`,
    () => `touch -h -d @${dice.of(['1000000000', '1500000000', '1'])} ${one}`,
    () => `find ${one} -exec touch -h -d @1200000000 {} +`,
    () => `cp -a ${one} ${two}`,
    () => `cp -al ${one} ${two} || cp -a ${one} ${two}`,
    () => `mkdir -p ${one}/${dice.of(NAMES)} && touch ${one}/${dice.of(NAMES)}/x`,
    () => `mkdir -p ${one}; tar c -C ${two} . | tar x -C ${one}`,
    () => imageChange(dice),
  ])()
}

/** Something mounted over, or beside, what the command changes: only the changes may be left. */
function mount(dice, stages) {
  const target = dice.of([`/t/${path(dice)}`, `/t/${path(dice)}`, `/m/${path(dice)}`, '/t', '/new/x/y'])
  const from = stages > 0 && dice.chance(0.5) ? `,from=s${dice.below(stages)},source=${dice.of(['/', '/t', '/t/a'])}` : ''
  return dice.of([
    () => `--mount=type=tmpfs,target=${target}`,
    () => `--mount=type=cache,target=${target},id=none${dice.below(1000000)}`,
    () => `--mount=target=${target}${from}`,
    () => `--mount=target=${target},rw${from}`,
    () => `--mount=type=bind,source=b,target=${target}`,
  ])()
}

function run(dice, stages) {
  const flags = Array.from({ length: dice.chance(0.25) ? 1 + dice.below(2) : 0 }, () => `${mount(dice, stages)} `)
  const commands = Array.from({ length: 1 + dice.below(5) }, () => `(${mutation(dice)}) 2>/dev/null`)
  return `RUN ${flags.join('')}${commands.join('; ')}; true`
}

/** No --link: dockerd without containerd's store has no merges and copies as if it were not there. */
function copy(dice, stages) {
  const flags = []
  if (stages > 0 && dice.chance(0.7)) flags.push(`--from=s${dice.below(stages)}`)
  if (dice.chance(0.3)) flags.push(`--chmod=${dice.of(['u+x', 'go=', 'a+X,u=rw', 'g=u', '700', '4511'])}`)
  if (dice.chance(0.2)) flags.push(`--chown=${dice.of(['5', '5:6', '0:7'])}`)
  if (dice.chance(0.2)) flags.push(`--exclude=${dice.of(['a', '**/b', '*/c'])}`, ...(dice.chance(0.5) ? ['--exclude=!a/b'] : []))
  const top = flags[0]?.startsWith('--from') ? '/t/' : ''
  const source = `${top}${dice.of(['', '.', path(dice), path(dice), '*', 'a/*', '[ab]', '*/*'])}` || '.'
  return `COPY ${flags.map((flag) => `${flag} `).join('')}${JSON.stringify([source, dice.of(['/t/', '/t', `/t/${path(dice)}`, `/t/${path(dice)}/`, '/x', '/', './y'])])}`
}

function other(dice) {
  const at = dice.of([`/t/${path(dice)}`, `/t/${path(dice)}/`, '/t/', '/v'])
  return dice
    .of([
      () => `COPY <<a ${dice.chance(0.5) ? '<<b ' : ''}${at}\n1\na\n${''}`,
      () => `ADD x.tar ${at}`,
      () => `ADD --chown=3:4 x.tar.gz ${at}`,
      () => `ADD *.tar* ${at}`,
      () => `WORKDIR ${at}`,
      () => `USER ${dice.of(['0', 'daemon', '7:8', 'root'])}\nWORKDIR ${at}\nUSER 0`,
      () => `VOLUME ${at}`,
    ])()
    .replace(/(<<a <<b .*\n1\na\n)$/, '$12\nb\n')
}

function stage(dice, stages, count) {
  return Array.from({ length: count }, () => {
    const roll = dice.next()
    return roll < 0.6 ? run(dice, stages) : roll < 0.85 ? copy(dice, stages) : other(dice).trimEnd()
  })
}

/** `setup` makes the context; `dockerfile` is built on it. */
export function randomLayersCase(seed) {
  const dice = new Dice(seed)
  const make = [
    'mkdir -p a/b/c b/a c/d d/d/d',
    'echo 1 > a/b/a',
    'echo 2 > b/b',
    'echo 3 > c/a',
    'ln c/a c/d/b',
    'ln -s ../a b/c',
    'ln -s b a/d',
    'echo 4 > d/d/d/a',
  ]
  const setup = [
    ...make,
    'tar --sort=name --mtime=@1300000000 -cf x.tar a b',
    'tar --sort=name --mtime=@1300000000 -c c d | gzip -n > x.tar.gz',
  ].join('\n')
  const lines = ['FROM busybox AS s0', `RUN mkdir /t && cd /t && ${make.join(' && ')}`, ...stage(dice, 0, 1 + dice.below(3))]
  const stages = 1 + dice.below(3)
  for (let at = 1; at <= stages; at++) {
    lines.push(
      `FROM ${dice.of(['busybox', `s${dice.below(at)}`, `s${at - 1}`, `s${at - 1}`, `s${at - 1}`])} AS s${at}`,
      ...stage(dice, at, 1 + dice.below(5)),
    )
  }
  return { setup, dockerfile: `${lines.join('\n')}\n` }
}
