// One random differential case from a seed: a small context with odd names, links and modes, and a Dockerfile that copies it about and changes what
// is there. The same seed gives the same case.

/** mulberry32: a number in [0, 1) a call. */
function generator(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** Few, so that commands meet what others made. */
const COMMON = ['a', 'b', 'd', 'a', 'b', 'd', 'c.txt']
const ODD = ['.hidden', 'e f', 'é', '[z]', 'a*', '-n', 'c.txt']
export const MODES = ['600', '644', '755', '700', '4755', '2750', '1777', '444', '000']
const TIMES = ['@0', '@981173106', '@1600000000', '@1700000000']
export const quote = (text) => `'${text}'`

/** Choices from one stream of random numbers. */
export class Dice {
  constructor(seed) {
    this.next = generator(seed)
  }
  below(count) {
    return Math.floor(this.next() * count)
  }
  of(list) {
    return list[this.below(list.length)]
  }
  chance(share) {
    return this.next() < share
  }
  name() {
    return this.of(this.chance(0.12) ? ODD : COMMON)
  }
  /** A path of one to three names below `top`. */
  path(top) {
    const depth = this.of([1, 1, 1, 2, 2, 3])
    return `${top}${Array.from({ length: depth }, () => this.name()).join('/')}`
  }
  target(top) {
    return this.of([this.name(), this.name(), this.path('../'), this.path('/'), this.path('/w/'), `${top}d`, '.', '..', '/', 'nowhere/x'])
  }
}

/** A command for something below `top`, that may fail. */
export function change(dice, top) {
  const [one, two] = [quote(dice.path(top)), quote(dice.path(top))]
  const parents = dice.chance(0.5) ? `mkdir -p "$(dirname ${one})"; ` : ''
  return (
    parents +
    dice.of([
      () => `mkdir -p ${one}`,
      () => `mkdir -p ${one}; echo ${dice.below(3)} > ${one}/${dice.of(['a', 'b', 'c.txt'])}`,
      () => `mkdir -m ${dice.of(MODES)} ${one}`,
      () => `echo ${dice.below(3)} > ${one}`,
      () => `echo ${dice.below(3)} > ${one}`,
      () => `echo more >> ${one}`,
      () => `ln -s ${quote(dice.target(top))} ${one}`,
      () => `ln ${one} ${two}`,
      () => `mv ${one} ${two}`,
      () => `rm -rf ${one}`,
      () => `chmod ${dice.of(MODES)} ${one}`,
      () => `touch -h -d ${dice.of(TIMES)} ${one}`,
      () => `cp -a ${one} ${two}`,
      // A name that no other command writes to: that would wait for a reader.
      () => `mkfifo ${quote(`${top}pipe`)}`,
    ])()
  )
}

/** Its own: chown, and what replaces whole directories. */
export function imageChange(dice) {
  const top = dice.of(['/', '/w/', '/w/', '/x/', '/w/d/'])
  const [one, two] = [quote(dice.path(top)), quote(dice.path(top))]
  return dice.of([
    () => change(dice, top),
    () => change(dice, top),
    () => change(dice, top),
    () => `chown ${dice.below(3)}:${dice.below(3)} ${one}`,
    () => `chown -h 7:8 ${one}`,
    () => `rm -rf ${one} && mkdir ${one}`,
    () => `mv ${one} ${one}.old && mkdir ${one} && mv ${one}.old ${one}/in`,
    () => `ln /etc/passwd ${one}`,
    () => `rm -rf ${one}; ln -s ${two} ${one}`,
    () => `mkdir -p ${one} && chmod 2775 ${one} && chown 0:5 ${one}`,
  ])()
}

/** Mostly what is there: a source that is missing ends the build. */
function source(dice) {
  const there = ['a', 'b', 'd', 'a/b', 'd/d', '.', 'a/', './d/.', 'a/c.txt']
  const wild = ['*', '?', 'a*', 'd*', '*.txt', '[a-c]*', '[^a]*', '*/*', 'a/*', 'd/*', `${dice.name()}/*`, `${dice.name()}*`]
  const odd = [dice.path(''), `../${dice.of(there)}`, `/${dice.name()}/../${dice.of(there)}`]
  const roll = dice.next()
  return dice.of(roll < 0.5 ? there : roll < 0.92 ? wild : odd)
}

function destination(dice) {
  return dice.of([
    () => dice.path('/'),
    () => dice.path('/w/'),
    () => `${dice.path('/w/')}/`,
    () => `${dice.path('/')}/`,
    () => './',
    () => dice.name(),
    () => `${dice.path('/x/')}/.`,
    () => '/',
  ])()
}

/** No group and other write in --chmod: dockerd's umask takes it from parents that are made, buildkitd's, which is 0, does not. */
function copy(dice, stages) {
  const add = dice.chance(0.25)
  const flags = []
  if (!add && stages > 0 && dice.chance(0.4)) flags.push('--from=s0')
  if (dice.chance(0.25)) flags.push(`--chown=${dice.of(['5', '5:6', 'daemon', 'daemon:wheel', 'nobody'])}`)
  if (dice.chance(0.25)) flags.push(`--chmod=${dice.of(MODES.filter((mode) => !['000', '1777'].includes(mode)))}`)
  if (dice.chance(0.1)) flags.push(`--exclude=${dice.of(['a', '**/b', '*.txt', 'd/*', '**/.hidden'])}`)
  const sources = Array.from({ length: dice.chance(0.3) ? 2 : 1 }, () => source(dice))
  // In the stage there are other things than in the context.
  const shown = flags.includes('--from=s0') ? sources.map((each) => `/w/${each}`) : sources
  return `${add ? 'ADD' : 'COPY'} ${flags.map((flag) => `${flag} `).join('')}${JSON.stringify([...shown, destination(dice)])}`
}

export function run(dice) {
  const commands = Array.from({ length: 1 + dice.below(5) }, () => `(${imageChange(dice)}) 2>/dev/null || true`)
  return `RUN ${commands.join('; ')}`
}

function instruction(dice, stages) {
  const roll = dice.below(10)
  if (roll < 5) return copy(dice, stages)
  if (roll < 9) return run(dice)
  return `WORKDIR ${dice.of(['/w', '/x/y', 'd', '/w/d', '/a', '/w/d/../b'])}`
}

/** `setup` makes the context; `dockerfile` is built on it. */
export function randomCase(seed) {
  const dice = new Dice(seed)
  const setup = [
    'mkdir -p a/b d/d; echo 1 > a/c.txt; echo 2 > b; echo 3 > d/b; ln b d/d/c.txt; ln -s c.txt a/d',
    ...Array.from({ length: 3 + dice.below(12) }, () => `(${change(dice, './')}) 2>/dev/null || true`),
  ].join('\n')
  const stages = dice.chance(0.5) ? 1 : 0
  const first =
    stages === 0
      ? []
      : [
          'FROM busybox AS s0',
          'RUN mkdir -p /w/a/b /w/d/d; cd /w; echo s > a/c.txt; echo t > b; ln b d/b; ln -s ../b d/a',
          run(dice),
          run(dice),
        ]
  const second = ['FROM busybox', ...Array.from({ length: 2 + dice.below(5) }, () => instruction(dice, stages))]
  return { setup, dockerfile: `${[...first, ...second].join('\n')}\n` }
}
