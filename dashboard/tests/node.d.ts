// The few names of Node's own test runner that these tests use: no package of types is needed.

declare module 'node:test' {
  export default function test(name: string, body: () => void | Promise<void>): void
}

declare module 'node:assert/strict' {
  interface Assert {
    equal(actual: unknown, expected: unknown, message?: string): void
    deepEqual(actual: unknown, expected: unknown, message?: string): void
    ok(value: unknown, message?: string): void
    match(text: string, pattern: RegExp): void
    throws(body: () => unknown, pattern?: RegExp): void
  }
  const assert: Assert
  export default assert
}
