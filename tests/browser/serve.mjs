// Chromium on this machine, and a server for its pages.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { delimiter, extname, join } from 'node:path';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** The program, if it is there. */
export const chromium = process.env.PATH.split(delimiter)
  .flatMap(folder => NAMES.map(name => join(folder, name)))
  .find(path => existsSync(path));

const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.woff2': 'font/woff2',
};

/**
 * Serves a folder below `base`, with `headers`, and returns where, and how to end that. `wasm`, if
 * given, answers in place of a module.
 */
export async function serveFolder(folder, { base = '/', headers = {}, wasm } = {}) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const inside = pathname.startsWith(base) ? decodeURIComponent(pathname.slice(base.length)) : '';
    const path = join(
      folder,
      inside === '' || inside.endsWith('/') ? `${inside}index.html` : inside,
    );
    const type = TYPES[extname(path)];
    if (type === 'application/wasm' && wasm) wasm(response);
    else if (type === undefined || !pathname.startsWith(base) || !isFile(path)) {
      response.writeHead(404).end();
    } else response.writeHead(200, { 'content-type': type, ...headers }).end(readFileSync(path));
  });
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, close };
}

const isFile = path => existsSync(path) && statSync(path).isFile();

/** An expression for the text that a page comes to show. */
export const SHOWN = `new Promise(done => {
  const look = () => document.body.textContent.trim() && done(document.body.textContent.trim());
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  look();
})`;
