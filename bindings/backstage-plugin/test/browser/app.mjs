// A whole Backstage app with the page, in Chromium, against the example's backend.
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Browser } from '../../../../tests/browser/chromium.mjs';
import { chromium } from '../../../../tests/browser/serve.mjs';
import { buildApp } from '../../app/build.mjs';
import { serveApp } from '../../app/serve.mjs';

const require = createRequire(import.meta.url);
const { ExampleProcess } = require('../../../backstage/test/exampleProcess.js');

/** Why nothing can be tested, if so. */
export const skip =
  chromium === undefined &&
  'skipped: no Chromium. Install it: apt-get install chromium';
export const options = { skip, timeout: 900_000 };

/** Whether the grid is there with all groups. */
export const COMPLETE = `(() => {
  const count = document.querySelector('[data-testid=count]');
  return !!count && !count.textContent.includes('reading');
})()`;

/** The app, its backend and a browser. */
class App {
  #server;
  #folder = mkdtempSync(join(tmpdir(), 'stagedoor-app-'));
  #shots =
    process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), 'stagedoor-shots-'));

  async start(env) {
    this.#server = await serveApp(this.#folder, () => this.backend.base);
    this.origin = `http://127.0.0.1:${this.#server.address().port}`;
    [this.backend] = await Promise.all([
      ExampleProcess.start(env),
      buildApp(this.#folder, this.origin),
    ]);
    this.browser = new Browser(chromium, this.#shots);
  }

  /** Opens a page of the app as somebody. */
  async open(as, path, [width, height] = [1400, 900], scheme = 'light') {
    const page = await this.browser.page(width, height);
    await page.scheme(scheme);
    const separator = path.includes('?') ? '&' : '?';
    await page.open(`${this.origin}${path}${separator}as=${as}`);
    return page;
  }

  /** Waits until an expression is true in a page, and returns it. */
  async until(page, expression, milliseconds = 30_000) {
    const ends = Date.now() + milliseconds;
    for (;;) {
      const value = await page.run(expression);
      if (value) return value;
      if (Date.now() > ends) {
        await page.shoot('failed');
        const text = await page.run('document.body.innerText');
        throw new Error(`${expression} does not come true: ${text}`);
      }
      await page.run('new Promise(requestAnimationFrame)');
    }
  }

  /** What went wrong in any page. */
  failures() {
    const wrong = this.browser.events.filter(
      ({ method, params }) =>
        method === 'Runtime.exceptionThrown' ||
        (method === 'Log.entryAdded' && params.entry.level === 'error') ||
        (method === 'Runtime.consoleAPICalled' && params.type === 'error'),
    );
    return wrong.map(({ params }) => JSON.stringify(params).slice(0, 500));
  }

  async close() {
    await this.browser?.close();
    this.#server?.closeAllConnections();
    this.#server?.close();
    await this.backend?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
    if (!process.env.SCREENSHOTS) {
      rmSync(this.#shots, { recursive: true, force: true });
    }
  }
}

/** Starts it all; `env` says what differs in the backend. */
export async function startApp(env = {}) {
  const app = new App();
  try {
    await app.start(env);
  } catch (error) {
    await app.close();
    throw error;
  }
  return app;
}
