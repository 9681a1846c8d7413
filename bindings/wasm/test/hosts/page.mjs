// Pages in Chromium, from a server on this machine.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import { Browser } from '../../../../tests/browser/chromium.mjs';
import { chromium, serveFolder, SHOWN } from '../../../../tests/browser/serve.mjs';

/** Why there are no pages; `false` if there are. */
export const skip =
  chromium === undefined && 'skipped: no Chromium. Install it: apt-get install chromium';

/**
 * Serves a folder until the tests have ended, with `headers`, and returns where. `wasm`, if given,
 * answers in place of the module.
 */
export async function serve(folder, options) {
  const { origin, close } = await serveFolder(folder, options);
  after(close);
  return origin;
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
  const text = await page.run(SHOWN);
  for (const { method, params } of browser.events.slice(before)) {
    if (method === 'Network.requestWillBeSent') {
      assert.ok(params.request.url.startsWith(`${origin}/`), params.request.url);
    }
  }
  return text;
}
