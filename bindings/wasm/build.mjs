// Builds the module with cargo, makes it small, and compiles what stands around it.
//
// Needs Rust with the target wasm32-unknown-unknown; where rustup cannot fetch it, the SDK's
// `wasm32.sh` takes Debian's. The first build compiles Cedar and Rust's standard library, which is made
// small as well: some minutes, and `rustup component add rust-src`.
//
// With `--quick`, for tests: compiled fast, and left as it is. Such a module is several times as
// large, and not to be published.

import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { leanCrates } from './lean.mjs';

// So that it does not grow unnoticed. What is aimed at is 2,500,000.
const BYTES = 2_820_000;

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const workspace = join(here, 'module');
const quick = process.argv.includes('--quick');

function run(command, args, cwd = here, env = process.env) {
  const stdio = ['ignore', 'pipe', 'inherit'];
  return execFileSync(command, args, { cwd, env, stdio, maxBuffer: 1 << 28 });
}

const wasm32 = join(root, 'crates/stagedoor-rule-sdk/wasm32.sh');

/** Returns where the crate lies that the standard library has its hash tables from. */
function tablesOfStd(packages) {
  const told = run('sh', [wasm32, 'sh', '-c', '"${RUSTC:-rustc}" --print sysroot']);
  const library = join(told.toString().trim(), 'lib/rustlib/src/rust/library');
  const lock = readFileSync(join(library, 'Cargo.lock'), 'utf8');
  const [, version] = /name = "hashbrown"\nversion = "(.*)"/.exec(lock);
  // Beside what all of Stagedoor is made of, or not fetched yet.
  const registry = dirname(dirname(packages.find(it => it.name === 'lalrpop-util').manifest_path));
  const tables = join(registry, `hashbrown-${version}`);
  if (!existsSync(tables)) {
    const manifest = join(library, 'Cargo.toml');
    run('cargo', ['fetch', '--locked', '--manifest-path', manifest], root, {
      ...process.env,
      RUSTC_BOOTSTRAP: '1',
    });
  }
  return tables;
}

/** Compiles the module and returns where it is. */
function compiled() {
  const only = ['--filter-platform', 'wasm32-unknown-unknown'];
  const told = run('cargo', ['metadata', '--locked', '--format-version', '1', ...only], root);
  const { packages, target_directory } = JSON.parse(told.toString());
  const tables = quick ? undefined : tablesOfStd(packages);
  leanCrates(packages, root, workspace, tables);

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
  // A panic says nothing in here, since there is nowhere to say it: the module traps. So what would write
  // it is left out, of the standard library as well, which is compiled for size. Cargo and rustc of the
  // stable channel do that when they are told to take what is not stable.
  const std = ['-Zbuild-std=std,panic_abort', '-Zbuild-std-features=optimize_for_size'];
  const silent = {
    RUSTC_BOOTSTRAP: '1',
    CARGO_UNSTABLE_PANIC_IMMEDIATE_ABORT: 'true',
    CARGO_PROFILE_WASM_PANIC: 'immediate-abort',
  };
  // The crates that it is made of are none of this workspace's, which `[patch]` in Cargo.toml is for.
  const patch = 'patch.crates-io.hashbrown-of-std';
  const ofStd = [
    ['--config', `${patch}.package="hashbrown"`],
    ['--config', `${patch}.path="${join(workspace, 'lean/hashbrown-of-std')}"`],
  ].flat();
  const cargo = [
    'cargo',
    'rustc',
    '--lib',
    '--profile',
    'wasm',
    ...target,
    ...(quick ? [] : [...std, ...ofStd]),
    '--',
    ...stack,
    ...(quick ? [] : small),
  ];
  const env = { ...process.env, ...(quick ? fast : silent) };
  run('sh', [wasm32, ...cargo], workspace, env);
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
