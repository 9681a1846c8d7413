// Opens a page in headless Chromium, uses it as people do, and fails if anything is not as it
// should be: `node browse.mjs CHROMIUM PAGE FOLDER`. Screenshots are put into FOLDER.
import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';

import { Browser } from '../../../../tests/browser/chromium.mjs';

const [chromium, path, folder] = process.argv.slice(2);
const browser = new Browser(chromium, folder);
try {
  const page = await browser.page(1500, 1000);
  await page.send('Network.emulateNetworkConditions', {
    ...{ offline: true, latency: 0, downloadThroughput: 0, uploadThroughput: 0 },
  });
  await page.scheme('light');
  await page.open(pathToFileURL(path).href);
  await page.shoot('light');
  const light = await page.colours();

  // The script ran: the filters are there and count.
  assert.match(await page.run(`document.querySelector('.count').textContent`), /^\d+ of \d+ rows/);
  assert.equal(await page.run(`document.querySelector('.filters').hidden`), false);
  const all = await page.run(`document.querySelectorAll('tbody tr').length`);
  assert.ok(all > 2, `${all} rows`);

  // By keyboard alone: to a cell, along the grid, open, close, and the focus is where it was.
  const isCell = `document.activeElement.matches('td button')`;
  for (let presses = 0; presses < 100 && !(await page.run(isCell)); presses++) await page.key('Tab');
  assert.equal(await page.run(isCell), true, 'Tab does not lead to the grid');
  await page.key('ArrowDown');
  await page.key('ArrowRight');
  const focused = `[...document.activeElement.closest('tr').querySelectorAll('button')]
    .indexOf(document.activeElement)`;
  assert.equal(await page.run(focused), 1);
  assert.match(await page.run(`document.activeElement.getAttribute('aria-label')`), /, .*, /);
  await page.key('Enter');
  assert.equal(await page.run(`document.getElementById('cell').open`), true);
  await page.key('Escape');
  assert.equal(await page.run(`document.getElementById('cell').open`), false);
  assert.equal(await page.run(focused), 1);

  // A cell that allows names its policies, which the page has.
  await page.run(`document.querySelector('td button.c, td button.a').click()`);
  const href = await page.run(`document.querySelector('#cell .body a').getAttribute('href')`);
  assert.ok(await page.run(`!!document.getElementById(${JSON.stringify(href.slice(1))})`), href);
  await page.shoot('cell');
  await page.run(`document.getElementById('cell').close()`);

  // Filters leave rows out.
  await page.run(`(() => {
    const input = document.querySelector('.who');
    input.value = document.querySelectorAll('tbody th')[1].textContent;
    input.dispatchEvent(new Event('input'));
  })()`);
  const left = await page.run(`[...document.querySelectorAll('.matrix')][0]
    .querySelectorAll('tbody tr:not([hidden])').length`);
  assert.ok(left > 0 && left < all, `${left} of ${all}`);
  await page.run(`(() => {
    const input = document.querySelector('.who');
    input.value = '';
    input.dispatchEvent(new Event('input'));
  })()`);

  await page.scheme('dark');
  await page.shoot('dark');
  const dark = await page.colours();
  assert.ok(light[0] !== dark[0] && light[1] !== dark[1], `${light} and ${dark}`);
  await page.run(`document.getElementById('findings').scrollIntoView({ behavior: 'instant' })`);
  await page.shoot('findings');

  // Nothing that names or texts hold became part of the page.
  assert.equal(await page.run(`document.querySelectorAll('main img, main script, main style').length`), 0);
  assert.equal(await page.run('window.pwned'), undefined);

  // Nothing was loaded, refused or went wrong.
  const told = browser.events.filter(({ method, params }) => {
    if (method === 'Network.requestWillBeSent') return !params.request.url.startsWith('file:');
    return ['Log.entryAdded', 'Runtime.exceptionThrown', 'Runtime.consoleAPICalled'].includes(method);
  });
  assert.deepEqual(told, []);
} finally {
  await browser.close();
}
