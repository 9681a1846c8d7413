// Chromium for tests, spoken to by its DevTools protocol over a pair of pipes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const CODES = { Tab: 9, Enter: 13, Escape: 27, ArrowUp: 38, ArrowDown: 40, ArrowRight: 39 };

/** A Chromium without a window. */
export class Browser {
  #next = 1;
  #waiting = new Map();
  #rest = '';
  /** What it has told, of all pages. */
  events = [];

  /**
   * Starts the program `chromium`, with more arguments if there are any; its profile and the
   * screenshots are put into `folder`.
   */
  constructor(chromium, folder, more = []) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    const options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe'];
    const quiet = ['--no-first-run', '--disable-background-networking', '--disable-dev-shm-usage'];
    const profile = `--user-data-dir=${join(resolve(folder), 'profile')}`;
    this.process = spawn(chromium, [...options, ...quiet, profile, ...more], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    this.process.on('exit', code => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`chromium ended: ${code}`));
    });
    this.process.stdio[4].on('data', data => this.#read(String(data)));
  }

  #read(text) {
    const messages = (this.#rest + text).split('\0');
    this.#rest = messages.pop();
    for (const message of messages.map(message => JSON.parse(message))) {
      const waiting = this.#waiting.get(message.id);
      if (!waiting) this.events.push(message);
      else if (message.error) waiting.reject(new Error(JSON.stringify(message.error)));
      else waiting.resolve(message.result);
    }
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.process.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + '\0');
    return answer;
  }

  /** Opens a page of some size. */
  async page(width, height) {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const target = { targetId, flatten: true };
    const { sessionId } = await this.send('Target.attachToTarget', target);
    const page = new Page(this, sessionId);
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await page.send(`${domain}.enable`);
    await page.resize(width, height);
    return page;
  }

  close() {
    const ended = new Promise(resolve => this.process.once('exit', resolve));
    this.send('Browser.close').catch(() => {});
    return ended;
  }
}

/** One page, used as people use it. */
export class Page {
  #browser;
  #session;

  constructor(browser, session) {
    this.#browser = browser;
    this.#session = session;
  }

  send(method, params) {
    return this.#browser.send(method, params, this.#session);
  }

  resize(width, height) {
    const size = { width, height, deviceScaleFactor: 1, mobile: false };
    return this.send('Emulation.setDeviceMetricsOverride', size);
  }

  /** Goes to an address, and waits until the page is loaded. */
  async open(url) {
    await this.send('Page.navigate', { url });
    await this.run(`new Promise(done => document.readyState === 'complete'
      ? done() : addEventListener('load', () => done()))`);
  }

  /** Returns what an expression has for its value in the page. */
  async run(expression) {
    const given = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', given);
    assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
    return result.value;
  }

  /** Presses a key. */
  async key(name) {
    const code = { key: name, code: name, windowsVirtualKeyCode: CODES[name] };
    const text = name === 'Enter' ? '\r' : undefined;
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', text, ...code });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...code });
  }

  /** Writes a screenshot of this name. */
  async shoot(name) {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png' });
    writeFileSync(join(this.#browser.folder, `${name}.png`), Buffer.from(data, 'base64'));
  }

  /** Sets whether the system is `light` or `dark`. */
  scheme(value) {
    return this.send('Emulation.setEmulatedMedia', {
      features: [{ name: 'prefers-color-scheme', value }],
    });
  }

  /** The colours of the page. */
  colours() {
    return this.run(`(({ color, backgroundColor }) => [color, backgroundColor])(
      getComputedStyle(document.body))`);
  }
}
