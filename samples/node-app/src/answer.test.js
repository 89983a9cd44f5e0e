import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answer } from './answer.js'

test('greets by name', () => assert.equal(answer('/?name=Ada').body, 'Hello, Ada!\n'))
test('unknown paths are 404', () => assert.equal(answer('/x').status, 404))
