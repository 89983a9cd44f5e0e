# A word of a Dockerfile: literal text, quotes, and variables with their modifiers (docs/semantics.md, X). The tokens come from word-lexer.ts, which closes
# what a word leaves open with `end` tokens; so every string has exactly one parse.
#
# Lists are linked from the last part to the first, because a copy for each part would make long words quadratic.

@preprocessor esmodule

@{%
const type = (name) => ({ type: name })
const text = type('text'), escape = type('escape'), loneEscape = type('loneEscape'), single = type('single'), double = type('double')
const bad = type('bad'), unfinished = type('unfinished'), open = type('open'), variable = type('variable'), dollar = type('dollar')
const name = type('name'), close = type('close'), operator = type('operator'), slash = type('slash'), badModifier = type('badModifier')
const heredoc = type('heredoc'), separator = type('separator'), closeSingle = type('closeSingle'), closeDouble = type('closeDouble'), end = type('end')

const endOf = (token) => token.offset + token.value.length
const nameOf = (token) => (token === null ? '' : token.value)

function list(last) {
  const parts = []
  for (let link = last; link !== null; link = link.before) parts.push(link.part)
  return parts.reverse()
}

function broken(message, end) {
  return { kind: 'broken', message, end }
}

/** An unknown modifier: the message names it, with U+FFFD when the word ends there, as Go prints it. */
function unsupported(token) {
  const [modifier = ''] = /^:?./su.exec(token.value) ?? []
  return broken(`unsupported modifier (${modifier || '\ufffd'}) in substitution`, token.offset + modifier.length)
}
%}

word -> parts {% ([parts]) => ({ parts, list }) %}

parts -> null {% () => null %}
       | parts part {% ([before, part]) => ({ before, part }) %}

part -> %text {% ([token]) => ({ kind: 'text', text: token.value }) %}
      | %heredoc {% ([token]) => ({ kind: 'heredoc', text: token.value }) %}
      | %escape {% ([token]) => ({ kind: 'escape', text: token.value.slice(1) }) %}
      | %loneEscape {% () => ({ kind: 'loneEscape' }) %}
      | %dollar {% () => ({ kind: 'text', text: '$' }) %}
      | %variable {% ([token]) => ({ kind: 'variable', name: token.value.slice(1) }) %}
      | %single %text:? closingSingle {% ([, token, closed]) => ({ kind: 'single', text: nameOf(token), closed }) %}
      | %double parts closingDouble {% ([, parts, closed]) => ({ kind: 'double', parts: list(parts), closed }) %}
      | %bad {% ([token]) => broken('syntax error: bad substitution', token.offset + 2) %}
      | %unfinished {% ([token]) => broken("syntax error: missing '}'", endOf(token)) %}
      | %open %name:? %close {% ([, token, last]) => ({ kind: 'substitution', name: nameOf(token), operator: '', word: [], closed: true, end: endOf(last) }) %}
      | %open %name:? %end {% ([, , last]) => unsupported(last) %}
      | %open %name:? %badModifier %end {% ([, , modifier]) => unsupported(modifier) %}
      | %open %name:? %operator parts closing {% ([, token, operation, parts, closing]) =>
          ({ kind: 'substitution', name: nameOf(token), operator: operation.value, word: list(parts), ...closing }) %}
      | %open %name:? %slash parts %end {% ([, token, slashes, parts, last]) =>
          ({ kind: 'replacement', name: nameOf(token), all: slashes.value === '//', pattern: list(parts), replacement: undefined, closed: false, end: endOf(last) }) %}
      | %open %name:? %slash parts %separator parts closing {% ([, token, slashes, pattern, , replacement, closing]) =>
          ({ kind: 'replacement', name: nameOf(token), all: slashes.value === '//', pattern: list(pattern), replacement: list(replacement), ...closing }) %}

closing -> %close {% ([token]) => ({ closed: true, end: endOf(token) }) %}
         | %end {% ([token]) => ({ closed: false, end: endOf(token) }) %}

closingSingle -> %closeSingle {% () => true %}
               | %end {% () => false %}

closingDouble -> %closeDouble {% () => true %}
               | %end {% () => false %}
