// Pages in Chromium, from a server on this machine.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, extname, join } from 'node:path';
import { after } from 'node:test';

import { Browser } from '../../../../tests/browser/chromium.mjs';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const chromium = process.env.PATH.split(delimiter)
  .flatMap(folder => NAMES.map(name => join(folder, name)))
  .find(path => existsSync(path));

/** Why there are no pages; `false` if there are. */
export const skip =
  chromium === undefined && 'skipped: no Chromium. Install it: apt-get install chromium';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/**
 * Serves a folder, with `headers`, and returns where. `wasm`, if given, answers in place of the
 * module.
 */
export async function serve(folder, { headers = {}, wasm } = {}) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const path = join(folder, pathname === '/' ? 'index.html' : pathname);
    const type = TYPES[extname(path)];
    if (type === 'application/wasm' && wasm) wasm(response);
    else if (type === undefined || !existsSync(path) || !statSync(path).isFile()) {
      response.writeHead(404).end();
    } else response.writeHead(200, { 'content-type': type, ...headers }).end(readFileSync(path));
  });
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

// Started by the first page.
let browser;
const profile = mkdtempSync(join(tmpdir(), 'stagedoor-hosts-chromium-'));
after(async () => {
  await browser?.close();
  rmSync(profile, { recursive: true, force: true });
});

/** Opens a page, and returns the text that it comes to show. Nothing else is asked for. */
export async function shown(origin) {
  browser ??= new Browser(chromium, profile);
  const page = await browser.page(800, 600);
  const before = browser.events.length;
  await page.open(`${origin}/`);
  const text = await page.run(`new Promise(done => {
    const look = () => document.body.textContent.trim() && done(document.body.textContent.trim());
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
    look();
  })`);
  for (const { method, params } of browser.events.slice(before)) {
    if (method === 'Network.requestWillBeSent') {
      assert.ok(params.request.url.startsWith(`${origin}/`), params.request.url);
    }
  }
  return text;
}
