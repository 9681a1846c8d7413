// Builds the module with cargo, makes it small, and compiles what stands around it.
//
// Needs Rust with the target wasm32-unknown-unknown; where rustup cannot fetch it, the SDK's
// `wasm32.sh` builds its standard library. The first build compiles Cedar: some minutes.
//
// With `--quick`, for tests: compiled fast, and left as it is. Such a module is several times as
// large, and not to be published.

import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// So that it does not grow unnoticed. What is aimed at is 2,500,000.
const BYTES = 3_600_000;

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const workspace = join(here, 'module');
const quick = process.argv.includes('--quick');

function run(command, args, cwd = here, env = process.env) {
  const stdio = ['ignore', 'pipe', 'inherit'];
  return execFileSync(command, args, { cwd, env, stdio, maxBuffer: 1 << 28 });
}

/** Replaces what must be there: crates that have moved on are looked at by a person. */
function replaced(text, from, to) {
  const after = text.replace(from, to);
  if (after === text) {
    throw new Error(`${from} is not to be found: see what the crate has become`);
  }
  return after;
}

/**
 * Makes what the module's workspace takes in place of crates that are published, and its
 * Cargo.lock of the one that all of Stagedoor has.
 *
 * Cargo adds features and takes none away, and each of those below is asked for by Cedar.
 */
function withLessOfCrates(packages) {
  const lexer = packages.find(({ name }) => name === 'lalrpop-util');
  let manifest = readFileSync(lexer.manifest_path, 'utf8');
  manifest = replaced(manifest, '"regex-automata/perf"', '');
  manifest = replaced(manifest, '"regex-automata?/unicode"', '"regex-automata?/unicode-perl"');
  manifest = replaced(manifest, /"perf-inline",\s*"perf-literal-substring",/, '');
  const copy = join(workspace, 'lean/lalrpop-util');
  rmSync(copy, { recursive: true, force: true });
  // With their times, so that nothing is compiled again that is the same.
  cpSync(dirname(lexer.manifest_path), copy, { recursive: true, preserveTimestamps: true });
  writeFileSync(join(copy, 'Cargo.toml'), manifest);

  let lock = readFileSync(join(root, 'Cargo.lock'), 'utf8');
  for (const name of ['lalrpop-util', 'regex']) {
    const published = new RegExp(`(name = "${name}"\nversion = .*\n)source = .*\nchecksum = .*\n`);
    lock = replaced(lock, published, '$1');
  }
  writeFileSync(join(workspace, 'Cargo.lock'), lock);
}

/** Compiles the module and returns where it is. */
function compiled() {
  const only = ['--filter-platform', 'wasm32-unknown-unknown'];
  const told = run('cargo', ['metadata', '--locked', '--format-version', '1', ...only], root);
  const { packages, target_directory } = JSON.parse(told.toString());
  withLessOfCrates(packages);

  const target = ['--target', 'wasm32-unknown-unknown', '--target-dir', target_directory];
  const fast = {
    CARGO_PROFILE_WASM_OPT_LEVEL: '1',
    CARGO_PROFILE_WASM_LTO: 'off',
    CARGO_PROFILE_WASM_CODEGEN_UNITS: '16',
  };
  // Of many functions that differ in a constant or two, such as sorts, LLVM makes one body with
  // parameters. It writes it as often as they were; `wasm-opt` leaves one.
  const small = ['-Cllvm-args=-enable-global-merge-func'];
  // Room for Cedar's recursive parser and validator at the deepest policy that the limits let
  // through (`limits.operators`); the linker's default of one megabyte holds a quarter of it.
  const stack = [`-Clink-arg=-zstack-size=${8 << 20}`];
  const cargo = [
    'cargo',
    'rustc',
    '--lib',
    '--profile',
    'wasm',
    ...target,
    '--',
    ...stack,
    ...(quick ? [] : small),
  ];
  const env = { ...process.env, ...(quick && fast) };
  run('sh', [join(root, 'crates/stagedoor-rule-sdk/wasm32.sh'), ...cargo], workspace, env);
  return join(target_directory, 'wasm32-unknown-unknown/wasm/stagedoor_module.wasm');
}

function optimised(from, to) {
  const features = [
    'bulk-memory',
    'multivalue',
    'mutable-globals',
    'nontrapping-float-to-int',
    'reference-types',
    'sign-ext',
  ].map(feature => `--enable-${feature}`);
  // The stack lies lowest, and does not reach down into the first kilobyte.
  const passes = ['--low-memory-unused', '--duplicate-function-elimination', '-Oz'];
  run('node', ['node_modules/binaryen/bin/wasm-opt', from, ...features, ...passes, '-o', to]);
}

mkdirSync(join(here, 'dist'), { recursive: true });
const out = join(here, 'dist/stagedoor.wasm');
(quick ? copyFileSync : optimised)(compiled(), out);

const { imports, exports } = WebAssembly.Module;
const bytes = readFileSync(out);
const module = new WebAssembly.Module(bytes);
if (imports(module).length > 0) {
  throw new Error(`the module imports ${JSON.stringify(imports(module))}`);
}
console.log(`${out}: ${bytes.length} bytes, ${exports(module).length} exports`);
if (!quick && bytes.length >= BYTES) {
  throw new Error(`${bytes.length} bytes are not below ${BYTES}`);
}

const tsc = ['node_modules/typescript/bin/tsc'];
run('node', tsc);
run('node', [...tsc, '-p', 'tsconfig.esm.json']);
writeFileSync(join(here, 'dist/esm/package.json'), '{"type":"module"}\n');
