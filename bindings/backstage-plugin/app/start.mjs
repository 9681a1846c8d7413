// Run as a program: the example's app, beside the example's backend (`npm start` there).
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { buildApp } from './build.mjs';
import { serveApp } from './serve.mjs';

const port = Number(process.env.APP_PORT ?? 3000);
const backend = `http://127.0.0.1:${process.env.PORT ?? 7007}`;
const folder = mkdtempSync(join(tmpdir(), 'stagedoor-app-'));
const origin = `http://localhost:${port}`;
await buildApp(folder, origin);
await serveApp(folder, () => backend, port);
console.log(`${origin}/stagedoor`);
