// Builds the module with cargo, makes it small, and compiles what stands around it.
//
// Needs Rust with the target wasm32-unknown-unknown; where rustup cannot fetch it, the SDK's
// `wasm32.sh` builds its standard library. The first build compiles Cedar: some minutes.
//
// With `--quick`, for tests: compiled fast, and left as it is. Such a module is several times as
// large, and not to be published.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// So that it does not grow unnoticed. The aim is 3 MB.
const BYTES = 4_200_000;

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const quick = process.argv.includes('--quick');

function run(command, args, cwd = here, env = process.env) {
  const stdio = ['ignore', 'pipe', 'inherit'];
  return execFileSync(command, args, { cwd, env, stdio, maxBuffer: 1 << 28 });
}

/** Compiles the module and returns where it is. */
function compiled() {
  const cargo = ['cargo', 'build', '--locked', '--profile', 'wasm', '-p', 'stagedoor-wasm'];
  const target = ['--target', 'wasm32-unknown-unknown'];
  const fast = {
    CARGO_PROFILE_WASM_OPT_LEVEL: '1',
    CARGO_PROFILE_WASM_LTO: 'off',
    CARGO_PROFILE_WASM_CODEGEN_UNITS: '16',
  };
  const env = { ...process.env, ...(quick && fast) };
  run('sh', ['crates/stagedoor-rule-sdk/wasm32.sh', ...cargo, ...target], root, env);
  const metadata = run('cargo', ['metadata', '--format-version', '1', '--no-deps'], root);
  const { target_directory } = JSON.parse(metadata.toString());
  return join(target_directory, 'wasm32-unknown-unknown/wasm/stagedoor_wasm.wasm');
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
  run('node', ['node_modules/binaryen/bin/wasm-opt', from, '-Oz', ...features, '-o', to]);
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
