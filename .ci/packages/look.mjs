// Looks at every page of the site in Chromium, as wide as a telephone and as a desk:
// `node look.mjs SITE SHOTS`. A page that is wider than its window, asks for what is not there or
// reports an error fails; so does a search that finds nothing. Pictures of some are left in SHOTS.

import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Browser } from '../../tests/browser/chromium.mjs';
import { chromium, serveFolder } from '../../tests/browser/serve.mjs';

const [site, shots] = process.argv.slice(2);
if (shots === undefined) throw new Error('name the site, and where pictures of it are put');
const base = process.env.SITE_BASE ?? '/stagedoor/';
const WIDTHS = [390, 1280];
const PICTURED = [
  'index.html',
  'crates/stagedoor/docs/guide.html',
  'crates/stagedoor-cli/docs/commands.html',
  'benches/figures.html',
  'reference.html',
  'reference/node/index.html',
];

if (chromium === undefined) {
  console.log('NOT LOOKED AT in a browser: there is no Chromium, `apt-get install chromium`');
  process.exit();
}
mkdirSync(shots, { recursive: true });
const profile = mkdtempSync(join(tmpdir(), 'stagedoor-site-'));
const { origin, close } = await serveFolder(site, { base });
const browser = new Browser(chromium, profile);
const faults = [];
const fault = (path, what) => faults.push(`${path}: ${what}`);

/** What the browser has told since the last time that is amiss. */
function amiss() {
  const told = browser.events.splice(0).map(({ method, params }) => {
    if (method === 'Network.responseReceived' && params.response.status >= 400) {
      return `${params.response.url} is answered with ${params.response.status}`;
    }
    if (method === 'Network.requestWillBeSent' && !params.request.url.startsWith(origin)) {
      return params.request.url.startsWith('data:') ? undefined : `asks for ${params.request.url}`;
    }
    if (method === 'Runtime.exceptionThrown') return params.exceptionDetails.text;
    return undefined;
  });
  return told.filter(Boolean);
}

/** What the page holds that is wider than the window, and does not scroll by itself. */
const WIDER = `(() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return '';
  const wide = [...document.querySelectorAll('body *')].find(
    each => each.getBoundingClientRect().right > clientWidth + 1 && each.children.length === 0);
  return (scrollWidth + ' pixels: ' + (wide ? wide.outerHTML.slice(0, 120) : '')); })()`;

async function look(page, path, width) {
  await page.open(`${origin}${base}${path}`);
  const title = await page.run('document.title + document.querySelector("h1")?.textContent');
  if (!title || /404/.test(title)) fault(path, `says \`${title}\``);
  const wider = await page.run(WIDER);
  if (wider) fault(path, `is wider than ${width}: ${wider}`);
  amiss().forEach(what => fault(path, what));
  if (PICTURED.includes(path)) await page.shoot(`${path.replaceAll('/', '-')}-${width}`);
}

/** What the search offers for some words. */
async function search(page, words) {
  await page.open(`${origin}${base}`);
  await page.run(`new Promise(done => {
    const look = () => document.querySelector('.VPNavBarSearch button') ? done() : setTimeout(look, 50);
    look(); })`);
  await page.run("document.querySelector('.VPNavBarSearch button').click()");
  return page.run(`new Promise(done => {
    const until = Date.now() + 20000;
    const look = () => {
      const field = document.querySelector('.VPLocalSearchBox input');
      if (field && !field.value) {
        field.value = ${JSON.stringify(words)};
        field.dispatchEvent(new Event('input'));
      }
      const found = [...document.querySelectorAll('.VPLocalSearchBox .result')];
      if (found.length > 0 || Date.now() > until) done(found.map(each => each.getAttribute('href')));
      else setTimeout(look, 50);
    };
    look(); })`);
}

try {
  const pages = readdirSync(site, { recursive: true })
    .filter(path => path.endsWith('.html') && path !== '404.html')
    .filter(path => !path.startsWith('reference/') || path.endsWith('/index.html'))
    .sort();
  for (const path of PICTURED.filter(path => !pages.includes(path))) fault(path, 'is not there');
  browser.folder = shots;
  for (const width of WIDTHS) {
    const page = await browser.page(width, 900);
    for (const path of pages) await look(page, path, width);
  }
  const found = await search(await browser.page(1280, 900), 'kubernetes');
  if (found.length === 0) fault('the search', 'finds nothing about Kubernetes');
  console.log(
    `${pages.length} pages at ${WIDTHS.join(' and ')} pixels; the search finds ${found.length}`,
  );
} finally {
  await browser.close();
  close();
  rmSync(profile, { recursive: true, force: true });
}
for (const told of faults) console.error(`FAILED ${told}`);
process.exitCode = faults.length > 0 ? 1 : 0;
