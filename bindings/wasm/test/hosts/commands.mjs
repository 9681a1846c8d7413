// What the README tells people to type, and what the tests do.

export const ESBUILD_PAGE =
  'esbuild esbuild/page.js --bundle --format=esm --loader:.wasm=file --outdir=public';
export const ESBUILD_SERVER =
  'esbuild esbuild/server.js --bundle --platform=node --outfile=app/server.cjs';
export const ESBUILD_MODULE =
  'esbuild esbuild/server-module.js --bundle --platform=node --format=esm --outfile=app/server.mjs ' +
  `--banner:js="import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"`;
export const ESBUILD_WORKERD =
  'esbuild workerd/worker.js --bundle --format=esm --conditions=workerd,worker,browser ' +
  '--external:*.wasm --outfile=app/worker.js';
export const DENO = ['run', '--allow-read', 'node/main.mjs'];
export const BUN = ['run', 'node/main.mjs'];
