// Serves the example's app, and the backend's API from the same origin.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, request as ask } from 'node:http';
import { extname, join, normalize } from 'node:path';

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
};

/**
 * Serves a folder on a port of this machine; what is below `/api` goes to the backend, whose address
 * `backend` returns.
 */
export function serveApp(folder, backend, port = 0) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (pathname.startsWith('/api/')) {
      const [base, { method, headers, url }] = [backend(), request];
      const passed = ask(
        new URL(url, base),
        { method, headers: { ...headers, host: new URL(base).host } },
        answer => {
          response.writeHead(answer.statusCode, answer.headers);
          answer.pipe(response);
        },
      );
      passed.on('error', () => response.writeHead(502).end());
      request.pipe(passed);
      return;
    }
    const path = join(folder, normalize(pathname));
    // Whatever is no file is a page of the app.
    const isFile = existsSync(path) && statSync(path).isFile();
    const file = isFile ? path : join(folder, 'index.html');
    response.setHeader('content-type', TYPES[extname(file)] ?? 'text/plain');
    createReadStream(file).pipe(response);
  });
  return new Promise(resolve =>
    server.listen(port, '127.0.0.1', () => resolve(server)),
  );
}
