# One instruction of a Dockerfile, as the tokens of lexer.ts. Continuations, comments and heredocs are settled before: see README.md.
@preprocessor esmodule
@{%
const token = (type) => ({ type })
const [run, cmd, entrypoint, shell, copy, add, volume, from, expose, arg, env, label] =
  ['run', 'cmd', 'entrypoint', 'shell', 'copy', 'add', 'volume', 'from', 'expose', 'arg', 'env', 'label'].map(token)
const [maintainer, user, workdir, stopsignal, healthcheck, onbuild, unknown] =
  ['maintainer', 'user', 'workdir', 'stopsignal', 'healthcheck', 'onbuild', 'unknown'].map(token)
const [flag, text, word, assignment, bare, open, close, comma, string] =
  ['flag', 'text', 'word', 'assignment', 'bare', 'open', 'close', 'comma', 'string'].map(token)

const first = (parts) => parts[0]
// Lists are chains, newest first: a rule that copied its list at every element would make a long line quadratic.
const none = () => null
const chain = ([before, item]) => ({ before, item })
const chainAfterComma = ([before, , item]) => ({ before, item })
const statement = ([keyword, flags, args]) => ({ keyword, flags, args })
%}

statement ->
    (%run | %cmd | %entrypoint | %shell) flags command        {% ([[keyword], ...rest]) => statement([keyword, ...rest]) %}
  | (%copy | %add | %volume) flags list                       {% ([[keyword], ...rest]) => statement([keyword, ...rest]) %}
  | (%from | %expose) flags words                             {% ([[keyword], ...rest]) => statement([keyword, ...rest]) %}
  | (%maintainer | %user | %workdir | %stopsignal) flags line {% ([[keyword], ...rest]) => statement([keyword, ...rest]) %}
  | (%env | %label) flags pairs                               {% ([[keyword], ...rest]) => statement([keyword, ...rest]) %}
  | %arg flags settings                                       {% statement %}
  | %healthcheck flags check                                  {% statement %}
  | %onbuild flags trigger                                    {% statement %}
  | %unknown flags line                                       {% statement %}

flags ->
    null        {% none %}
  | flags %flag {% chain %}

# The exec form is a JSON array of strings; whatever else begins with [ was made a text by the lexer (P15).
command -> line {% first %} | array {% first %}
list    -> words {% first %} | array {% first %}

line ->
    null  {% () => ({ form: 'text', text: null }) %}
  | %text {% ([text]) => ({ form: 'text', text }) %}

array   -> %open %close          {% () => ({ form: 'array', items: null }) %}
         | %open strings %close  {% ([, items]) => ({ form: 'array', items }) %}
strings -> %string               {% ([item]) => ({ before: null, item }) %}
         | strings %comma %string {% chainAfterComma %}

words    -> wordList  {% ([items]) => ({ form: 'words', items }) %}
wordList -> null {% none %} | wordList %word {% chain %}

# `NAME=value …`, or the old `NAME value with blanks` (P17).
pairs       -> assignments  {% ([items]) => ({ form: 'pairs', items }) %}
             | %word %text  {% ([name, value]) => ({ form: 'legacy', name, value }) %}
assignments -> null {% none %} | assignments %assignment {% chain %}

settings    -> settingList  {% ([items]) => ({ form: 'pairs', items }) %}
settingList -> null {% none %} | settingList (%assignment | %bare) {% ([before, [item]]) => ({ before, item }) %}

check   -> null {% () => ({ form: 'check', type: null, command: { form: 'text', text: null } }) %}
         | %word command {% ([type, command]) => ({ form: 'check', type, command }) %}

trigger -> null {% () => ({ form: 'trigger', statement: null }) %}
         | statement {% ([statement]) => ({ form: 'trigger', statement }) %}
