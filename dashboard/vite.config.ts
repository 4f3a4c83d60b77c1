// Builds the dashboard into the Python package, where the server finds it.

import { defineConfig } from 'vite'

export default defineConfig({
  // Relative addresses: the page works behind a proxy that gives it a path of its own.
  base: './',
  build: {
    outDir: '../src/outlast/_server/static',
    emptyOutDir: true,
    // As old as `light-dark()` in the styles allows.
    target: ['chrome123', 'firefox120', 'safari17.5'],
    // Content-Security-Policy forbids inline script and style; a file of its own is always fine.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  server: {
    // `npm run dev` beside `outlast dev app.py`. The server refuses other hosts and origins.
    proxy: {
      '/v1': {
        target: 'http://127.0.0.1:8787',
        changeOrigin: true,
        headers: { origin: 'http://127.0.0.1:8787' },
      },
    },
  },
})
