import assert from 'node:assert/strict'
import test from 'node:test'

import { commandLine, curl, python } from '../src/copyas.ts'

const ROOT = { origin: 'http://127.0.0.1:8787', pathname: '/' }
const MOUNTED = { origin: 'https://shop.example', pathname: '/jobs/' }

test('a command says where the server is when it is mounted under a path', () => {
  assert.equal(commandLine('order-7', ROOT), 'outlast show order-7')
  assert.equal(commandLine('order 7', MOUNTED), "outlast show 'order 7' --url https://shop.example/jobs")
})

test('addresses have the path that the page has', () => {
  assert.match(curl('a/7', MOUNTED), /https:\/\/shop\.example\/jobs\/v1\/runs\/a%2F7$/)
  assert.match(python('a/7', ROOT), /url = "http:\/\/127\.0\.0\.1:8787\/v1\/runs\/a%2F7"/)
})
