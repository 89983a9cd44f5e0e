# One instruction of a Dockerfile, as the tokens of lexer.ts. Continuations, comments and heredocs are settled before: see README.md.
@preprocessor esmodule
@{%
const token = (type) => ({ type })
// A keyword's token says how its arguments are read, not which instruction it is: fewer rules to predict at every line.
const [commandKeyword, listKeyword, wordsKeyword, lineKeyword] = ['commandKeyword', 'listKeyword', 'wordsKeyword', 'lineKeyword'].map(token)
const [pairsKeyword, settingsKeyword, checkKeyword, triggerKeyword] = ['pairsKeyword', 'settingsKeyword', 'checkKeyword', 'triggerKeyword'].map(token)
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
    %commandKeyword flags command   {% statement %}
  | %listKeyword flags list         {% statement %}
  | %wordsKeyword flags words       {% statement %}
  | %lineKeyword flags line         {% statement %}
  | %pairsKeyword flags pairs       {% statement %}
  | %settingsKeyword flags settings {% statement %}
  | %checkKeyword flags check       {% statement %}
  | %triggerKeyword flags trigger   {% statement %}

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
