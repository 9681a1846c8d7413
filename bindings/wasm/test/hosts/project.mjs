// A project in a directory of its own, with @stagedoor/wasm installed as npm would install it.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after } from 'node:test';

const require = createRequire(import.meta.url);

/** Where these tests are. */
export const here = dirname(fileURLToPath(import.meta.url));
const packed = join(here, '../..');

/** Makes the project, which is removed after the tests of the file that calls this, outside of them. */
export function project() {
  if (!existsSync(join(packed, 'dist/stagedoor.wasm'))) {
    throw new Error('there is no dist/stagedoor.wasm: run `npm run build` in bindings/wasm first');
  }
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-hosts-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(here, 'apps'), folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}');

  const archive = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  const [{ filename }] = JSON.parse(execFileSync('npm', archive, { cwd: packed, stdio: 'pipe' }));
  const installed = join(folder, 'node_modules/@stagedoor/wasm');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, filename), '-C', installed, '--strip-components=1']);
  return folder;
}

/** The module in a project. */
export const wasmOf = folder => join(folder, 'node_modules/@stagedoor/wasm/dist/stagedoor.wasm');

/** Runs a program and returns how it ended and what it printed. */
export function run(program, args, cwd, env = {}) {
  const options = { cwd, encoding: 'utf8', timeout: 300_000, killSignal: 'SIGKILL' };
  const ended = spawnSync(program, args, { ...options, env: { ...process.env, ...env } });
  if (ended.error) throw ended.error;
  return ended;
}

/** Runs a command of one of the packages here, as `npx` would. */
export function command(line, cwd) {
  const words = line.match(/(?:"[^"]*"|[^\s"])+/g).map(word => word.replaceAll('"', ''));
  const [name, ...args] = words;
  const { status, stderr } = run(join(here, 'node_modules/.bin', name), args, cwd);
  if (status !== 0) throw new Error(`\`${line}\` ended with ${status}: ${stderr}`);
}

/** The program in a package that npm installs for this system only, if it is there. */
export function program(owner, path) {
  try {
    // By its folder: not every such package lets its files be asked for by name.
    return join(dirname(require.resolve(`${owner}/package.json`)), path);
  } catch {
    return undefined;
  }
}
