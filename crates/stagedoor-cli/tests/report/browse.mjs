// Opens a page in headless Chromium, uses it as people do, and fails if anything is not as it
// should be: `node browse.mjs CHROMIUM PAGE FOLDER`. Screenshots are put into FOLDER.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [chromium, page, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });

/** Chromium, spoken to by its DevTools protocol over a pair of pipes. */
class Browser {
  #next = 1;
  #waiting = new Map();
  #rest = '';
  events = [];

  constructor(profile) {
    const options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe'];
    const quiet = ['--no-first-run', '--disable-background-networking', '--disable-dev-shm-usage'];
    this.process = spawn(chromium, [...options, ...quiet, `--user-data-dir=${profile}`], {
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

  close() {
    const ended = new Promise(resolve => this.process.once('exit', resolve));
    this.send('Browser.close').catch(() => {});
    return ended;
  }
}

const browser = new Browser(join(resolve(folder), 'profile'));
try {
  const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
  const target = { targetId, flatten: true };
  const { sessionId } = await browser.send('Target.attachToTarget', target);
  const send = (method, params) => browser.send(method, params, sessionId);
  const run = async expression => {
    const given = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await send('Runtime.evaluate', given);
    assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
    return result.value;
  };
  const key = async name => {
    const codes = { Tab: 9, Enter: 13, Escape: 27, ArrowDown: 40, ArrowRight: 39 };
    const code = { key: name, code: name, windowsVirtualKeyCode: codes[name] };
    const text = name === 'Enter' ? '\r' : undefined;
    await send('Input.dispatchKeyEvent', { type: 'keyDown', text, ...code });
    await send('Input.dispatchKeyEvent', { type: 'keyUp', ...code });
  };
  const shoot = async name => {
    const { data } = await send('Page.captureScreenshot', { format: 'png' });
    writeFileSync(join(folder, `${name}.png`), Buffer.from(data, 'base64'));
  };
  const scheme = value =>
    send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] });

  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(`${domain}.enable`);
  const size = { width: 1500, height: 1000, deviceScaleFactor: 1, mobile: false };
  await send('Emulation.setDeviceMetricsOverride', size);
  await send('Network.emulateNetworkConditions', {
    ...{ offline: true, latency: 0, downloadThroughput: 0, uploadThroughput: 0 },
  });
  await scheme('light');
  await send('Page.navigate', { url: pathToFileURL(page).href });
  await run(`new Promise(done => document.readyState === 'complete'
    ? done() : addEventListener('load', () => done()))`);
  await shoot('light');
  const colours = async () => run(`(({ color, backgroundColor }) => [color, backgroundColor])(
    getComputedStyle(document.body))`);
  const light = await colours();

  // The script ran: the filters are there and count.
  assert.match(await run(`document.querySelector('.count').textContent`), /^\d+ of \d+ rows/);
  assert.equal(await run(`document.querySelector('.filters').hidden`), false);
  const all = await run(`document.querySelectorAll('tbody tr').length`);
  assert.ok(all > 3, `${all} rows`);

  // By keyboard alone: to a cell, along the grid, open, close, and the focus is where it was.
  const isCell = `document.activeElement.matches('td button')`;
  for (let presses = 0; presses < 100 && !(await run(isCell)); presses++) await key('Tab');
  assert.equal(await run(isCell), true, 'Tab does not lead to the grid');
  await key('ArrowDown');
  await key('ArrowRight');
  const focused = `[...document.activeElement.closest('tr').querySelectorAll('button')]
    .indexOf(document.activeElement)`;
  assert.equal(await run(focused), 1);
  assert.match(await run(`document.activeElement.getAttribute('aria-label')`), /, .*, /);
  await key('Enter');
  assert.equal(await run(`document.getElementById('cell').open`), true);
  await key('Escape');
  assert.equal(await run(`document.getElementById('cell').open`), false);
  assert.equal(await run(focused), 1);

  // A cell that allows names its policies, which the page has.
  await run(`document.querySelector('td button.c, td button.a').click()`);
  const href = await run(`document.querySelector('#cell .body a').getAttribute('href')`);
  assert.ok(await run(`!!document.getElementById(${JSON.stringify(href.slice(1))})`), href);
  await shoot('cell');
  await run(`document.getElementById('cell').close()`);

  // Filters leave rows out.
  await run(`(() => {
    const input = document.querySelector('.who');
    input.value = document.querySelectorAll('tbody th')[1].textContent;
    input.dispatchEvent(new Event('input'));
  })()`);
  const left = await run(`[...document.querySelectorAll('.matrix')][0]
    .querySelectorAll('tbody tr:not([hidden])').length`);
  assert.ok(left > 0 && left < all, `${left} of ${all}`);
  await run(`(() => {
    const input = document.querySelector('.who');
    input.value = '';
    input.dispatchEvent(new Event('input'));
  })()`);

  await scheme('dark');
  await shoot('dark');
  const dark = await colours();
  assert.ok(light[0] !== dark[0] && light[1] !== dark[1], `${light} and ${dark}`);
  await run(`document.getElementById('findings').scrollIntoView({ behavior: 'instant' })`);
  await shoot('findings');

  // Nothing that names or texts hold became part of the page.
  assert.equal(await run(`document.querySelectorAll('main img, main script, main style').length`), 0);
  assert.equal(await run('window.pwned'), undefined);

  // Nothing was loaded, refused or went wrong.
  const told = browser.events.filter(({ method, params }) => {
    if (method === 'Network.requestWillBeSent') return !params.request.url.startsWith('file:');
    return ['Log.entryAdded', 'Runtime.exceptionThrown', 'Runtime.consoleAPICalled'].includes(method);
  });
  assert.deepEqual(told, []);
} finally {
  await browser.close();
}
