// Prints the text that a page comes to show in Chromium: `node shown.mjs FOLDER [ARGUMENT…]`, whose
// index page it is, with more arguments for Chromium. A page that asks for what is not in the folder
// fails.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Browser } from '../../tests/browser/chromium.mjs';
import { chromium, serveFolder, SHOWN } from '../../tests/browser/serve.mjs';

const [folder, ...more] = process.argv.slice(2);
if (chromium === undefined) throw new Error('there is no Chromium: `apt-get install chromium`');
const profile = mkdtempSync(join(tmpdir(), 'stagedoor-chromium-'));
const { origin, close } = await serveFolder(folder);
const browser = new Browser(chromium, profile, more);
try {
  const page = await browser.page(800, 600);
  await page.open(`${origin}/`);
  console.log(await page.run(SHOWN));
  for (const { method, params } of browser.events) {
    if (method === 'Network.requestWillBeSent' && !params.request.url.startsWith(`${origin}/`)) {
      throw new Error(`the page asks for ${params.request.url}`);
    }
  }
} finally {
  await browser.close();
  close();
  rmSync(profile, { recursive: true, force: true });
}
