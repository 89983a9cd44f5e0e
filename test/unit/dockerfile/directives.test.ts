import { detectSyntax } from '../../../src/dockerfile/directives.ts'

test.each([
  ['P4 comment', '# syntax=docker/dockerfile:1\nFROM x', 'docker/dockerfile:1'],
  ['P4 only its first word', '# syntax = a/b:1 --flag\n', 'a/b:1'],
  ['P4 slashes', '// syntax=a/b\nmodule.exports = 1', 'a/b'],
  ['P4 JSON', '{"x": 1, "syntax": "a/b"}', 'a/b'],
  ['P4 behind a shebang', '#!/usr/bin/env x\n# syntax=a/b\n', 'a/b'],
  ['P4 behind a byte order mark', '\ufeff# syntax=a/b\n', 'a/b'],
  ['P4 after another directive', '# escape=`\n# syntax=a/b\n', 'a/b'],
  ['P1 not after a comment', '# hello\n# syntax=a/b\n', undefined],
  ['P1 not after a blank line', '\n# syntax=a/b\n', undefined],
  ['a shebang alone', '#!/bin/sh', undefined],
  ['JSON with another type', '{"syntax": 1}', undefined],
  ['not quite JSON', '{"syntax": "a"', undefined],
])('%s', (_, text, syntax) => {
  expect(detectSyntax(text)).toBe(syntax)
})
