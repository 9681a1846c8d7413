// Makes small mistakes in the Rust code, one at a time, and tells which of them no test notices:
// `.ci/mutants 30 stagedoor-core stagedoor-kubernetes` tries 30 of each crate, chosen at random;
// `.ci/mutants all stagedoor-core` tries all, which takes hours. Without crates, those whose code
// decides. `SEED=7` chooses the same ones again, `TELL=1` says what became of each, `LONGEST=60` asks no
// test program that takes longer than so many seconds, `AT_ONCE=4` tries four at a time. Ctrl-C ends it
// with what was found so far.
//
// cargo-mutants says which mistakes there are. They are compiled all at once: each function has a
// copy of its body for each of its mistakes, and an environment variable chooses one, so that to
// try another takes a run of the tests and no compiler. What does not compile is left out, as are
// `const` functions and those that return an `impl Trait`, whose copies would be of other types.
//
// Asked are the tests of the crate, and the test programs of other crates that run its code.
// Programs that read the code instead of running it (`messages`, `modules`, `api`) would notice any
// text, and are not asked.
//
// Mistakes that change nothing, or only how long something takes, stand in `.ci/mutants-equal.txt` with
// why; they are not tried.
//
// Works in a copy of the repository below `target/mutants`, which is kept for the next time, as is what
// was compiled: `MUTANTS_TARGET` names another directory for that, such as a copy of one in which the
// tests were compiled with the same settings (those of `ENV` below, and the same features).
import { spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const WORK = join(ROOT, 'target/mutants');
const TREE = join(WORK, 'tree');
const TOOLS = join(ROOT, 'target/ci-tools');
const CRATES = [
  'stagedoor-core',
  'stagedoor-kubernetes',
  'stagedoor-backstage',
  'stagedoor-webhook',
  'stagedoor-rule-host',
];

/** Test programs that take longer, in seconds, are not asked: whatever is not noticed runs all of them. */
const LONGEST = Number(process.env.LONGEST ?? 1200);

/** So many mutants are tried at a time. */
const AT_ONCE = Number(process.env.AT_ONCE ?? 1);

/** Test programs of other packages that run a crate's code. */
const BESIDE = {
  'stagedoor-core': {
    'stagedoor-tests': [
      ...['handles', 'values', 'equality', 'lists', 'explanations', 'edits', 'guards', 'cases'],
      ...['security', 'properties', 'conformance', 'wire', 'harness'],
    ],
  },
  'stagedoor-kubernetes': { 'stagedoor-webhook': ['webhook'] },
  'stagedoor-backstage': { 'stagedoor-tests': ['cases', 'wire', 'harness'] },
  'stagedoor-rule-host': { 'stagedoor-tests': ['guards', 'wire'] },
};

const ENV = {
  ...process.env,
  PATH: `${join(TOOLS, 'bin')}:${process.env.PATH}`,
  CARGO_TARGET_DIR: process.env.MUTANTS_TARGET ?? join(WORK, 'build'),
  CARGO_TERM_COLOR: 'never',
  // What is compiled is run a few times, and compiling is what takes the time.
  CARGO_PROFILE_DEV_OPT_LEVEL: '0',
  CARGO_PROFILE_DEV_DEBUG: 'false',
  CARGO_INCREMENTAL: '1',
};

function run(command, args, options = {}) {
  const ended = spawnSync(command, args, {
    cwd: TREE,
    env: ENV,
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
    ...options,
  });
  if (ended.error) throw ended.error;
  return ended;
}

function output(command, args, options) {
  const ended = run(command, args, options);
  if (ended.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${ended.stderr}`);
  return ended.stdout;
}

/** What tells a mutant from others, wherever it stands in its file: its name, and the line of code. */
function keyOf({ file, name, span }) {
  const line = readFileSync(join(ROOT, file), 'utf8').split('\n')[span.start.line - 1];
  return `${file}: ${name.replace(/^\S+:\d+:\d+: /, '')}: ${line.trim()}`;
}

/** Mutants that are known to be equal: lines that are not indented; why stands below each. */
function equalMutants() {
  const lines = readFileSync(join(ROOT, '.ci/mutants-equal.txt'), 'utf8').split('\n');
  return new Set(lines.filter((line) => /^[^\s#]/.test(line)));
}

/** Numbers that follow from a seed (mulberry32). */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Copies what is tracked; what is there and the same stays, with what was compiled of it. */
function copyTree() {
  const files = output('git', ['ls-files', '-z'], { cwd: ROOT }).split('\0').filter(Boolean);
  for (const file of files) {
    const [from, to] = [join(ROOT, file), join(TREE, file)];
    const stat = lstatSync(from, { throwIfNoEntry: false });
    if (!stat) continue;
    const known = lstatSync(to, { throwIfNoEntry: false });
    if (known && (stat.isSymbolicLink() || readFileSync(from).equals(readFileSync(to)))) continue;
    mkdirSync(dirname(to), { recursive: true });
    if (stat.isSymbolicLink()) symlinkSync(readlinkSync(from), to);
    else copyFileSync(from, to);
    if (!known && stat.isFile()) utimesSync(to, stat.atime, stat.mtime);
  }
}

/** Where a line and column, both counted from one, are in a text. */
function offsets(text) {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return ({ line, column }) => {
    // Columns count characters; texts are cut by units of UTF-16.
    let at = starts[line - 1];
    for (let n = 1; n < column; n += 1) at += text.codePointAt(at) > 0xffff ? 2 : 1;
    return at;
  };
}

/** Returns where a function's body begins: the first brace outside of parentheses. */
function bodyOf(text, from, to) {
  let depth = 0;
  for (let at = from; at < to; at += 1) {
    const char = text[at];
    if ('(['.includes(char)) depth += 1;
    if (')]'.includes(char)) depth -= 1;
    if (char === '{' && depth === 0) return at;
  }
  return undefined;
}

/** Writes a file of the copy with all its mutants; returns the lines of each. */
function writeMutated(file, mutants) {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const at = offsets(text);
  const functions = new Map();
  for (const mutant of mutants) {
    const { start, end } = mutant.function.span;
    const key = `${start.line}:${start.column}`;
    if (!functions.has(key)) functions.set(key, { from: at(start), to: at(end), mutants: [] });
    functions.get(key).mutants.push(mutant);
  }
  let [written, last] = ['', 0];
  const lines = [];
  for (const { from, to, mutants } of [...functions.values()].sort((a, b) => a.from - b.from)) {
    const body = bodyOf(text, from, to);
    // Within another that has its copies already.
    if (from < last || body === undefined || /\bconst\s+(async\s+)?fn\b/.test(text.slice(from, body))) {
      continue;
    }
    written += text.slice(last, body);
    const head = written.split('\n').length;
    written += `{ match crate::chosen_mutant() {\n`;
    for (const mutant of mutants) {
      const [begin, end] = [at(mutant.span.start), at(mutant.span.end)];
      const copy = `${text.slice(body, begin)}${mutant.replacement}${text.slice(end, to)}`;
      const first = written.split('\n').length;
      written += `${mutant.number} => ${copy}\n`;
      lines.push({ mutant, head, first, last: written.split('\n').length - 1 });
    }
    written += `_ => ${text.slice(body, to)}\n} }`;
    const tail = written.split('\n').length;
    lines.filter((line) => line.head === head).forEach((line) => (line.tail = tail));
    last = to;
  }
  writeFileSync(join(TREE, file), written + text.slice(last));
  return lines;
}

const CHOSEN = `
/// The mutant whose turn it is.
pub(crate) fn chosen_mutant() -> usize {
    static CHOSEN: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let chosen = std::env::var("CHOSEN_MUTANT").ok();
        chosen.and_then(|number| number.parse().ok()).unwrap_or_default()
    })
}
`;

/** Compiles the tests; returns the programs, or where it does not compile. */
function compile(crate) {
  const { packages } = JSON.parse(
    output('cargo', ['metadata', '--no-deps', '--format-version', '1']),
  );
  const own = packages.find(({ name }) => name === crate).targets;
  const asked = new Map(Object.entries(BESIDE[crate] ?? {}));
  asked.set(crate, own.filter(({ kind }) => kind.includes('test')).map(({ name }) => name));
  // One command, so that what all share is compiled with the same features.
  const ended = run('cargo', [
    ...['test', '--no-run', '--quiet', '--message-format=json', '--lib'],
    ...[...asked.keys()].flatMap((name) => ['--package', name]),
    ...new Set([...asked.values()].flat().map((name) => `--test=${name}`)),
  ]);
  const messages = ended.stdout.split('\n').filter((line) => line.startsWith('{'));
  const read = messages.map((line) => JSON.parse(line));
  if (ended.status !== 0) {
    const errors = read.filter((m) => m.reason === 'compiler-message' && m.message.level === 'error');
    const spans = errors.flatMap(({ message }) => message.spans.filter((span) => span.is_primary));
    return { spans, told: errors.map(({ message }) => message.rendered).join('') || ended.stderr };
  }
  const programs = [];
  for (const { executable, profile, manifest_path: manifest, target } of read) {
    if (!executable || !profile?.test) continue;
    const { name } = packages.find(({ manifest_path: path }) => path === manifest);
    const isAsked = asked.get(name)?.includes(target.name) || name === crate;
    if (isAsked) programs.push({ name: `${name} ${target.name}`, executable, cwd: dirname(manifest) });
  }
  return { programs };
}

/** Runs a test program until its first failure; returns `passed`, `failed` or `timeout`. */
function test({ executable, cwd }, number, seconds) {
  return new Promise((done) => {
    const env = { ...ENV, CHOSEN_MUTANT: String(number), CARGO_MANIFEST_DIR: cwd, RUST_BACKTRACE: '0' };
    const child = spawn(executable, [], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    let ended;
    const stop = (how) => {
      ended ??= how;
      // The whole group: programs start others.
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It is gone.
      }
    };
    const timer = setTimeout(() => stop('timeout'), seconds * 1000);
    child.stdout.on('data', (text) => / \.\.\. FAILED/.test(String(text)) && stop('failed'));
    child.on('close', (code) => {
      clearTimeout(timer);
      done(ended ?? (code === 0 ? 'passed' : 'failed'));
    });
  });
}

/** Tries mutants of a crate; returns how many were noticed, and which were not. */
async function tryCrate(crate, count, next) {
  const listed = JSON.parse(output('cargo', ['mutants', '--list', '--json', '--package', crate]));
  // What compiles for other systems is not run here, and a constant is no choice.
  const usable = listed.filter(({ function: of }) => of && !/\bimpl\b/.test(of.return_type));
  for (let n = usable.length - 1; n > 0; n -= 1) {
    const other = Math.floor(next() * (n + 1));
    [usable[n], usable[other]] = [usable[other], usable[n]];
  }
  const chosen = count === 'all' ? usable : usable.slice(0, count);
  const equal = equalMutants();
  let mutants = chosen.filter((mutant) => !equal.has(keyOf(mutant)));
  const known = chosen.length - mutants.length;
  mutants.forEach((mutant, index) => (mutant.number = index + 1));
  const files = new Set(mutants.map(({ file }) => file));
  const root = `crates/${crate}/src/lib.rs`;
  let compiled;
  const dropped = [];
  try {
    for (;;) {
      const written = [];
      for (const file of files) {
        const lines = writeMutated(file, mutants.filter((mutant) => mutant.file === file));
        written.push(...lines.map((line) => ({ ...line, file })));
      }
      const within = new Set(written.map(({ mutant }) => mutant));
      mutants = mutants.filter((mutant) => within.has(mutant));
      writeFileSync(join(TREE, root), readFileSync(join(TREE, root), 'utf8').replace(CHOSEN, '') + CHOSEN);
      compiled = compile(crate);
      if (compiled.programs) break;
      const hit = (file, from, to) =>
        compiled.spans.some(
          (span) => span.file_name.endsWith(file) && span.line_start <= to && span.line_end >= from,
        );
      let wrong = written.filter(({ file, first, last }) => hit(file, first, last));
      // A copy may only be wrong beside another: then all of the function are left out.
      if (wrong.length === 0) wrong = written.filter(({ file, head, tail }) => hit(file, head, tail));
      if (wrong.length === 0) throw new Error(compiled.told);
      const gone = new Set(wrong.map(({ mutant }) => mutant));
      dropped.push(...gone);
      if (process.env.TELL) console.log(`${gone.size} do not compile: ${[...gone].map(({ name }) => name).join('; ')}`);
      mutants = mutants.filter((mutant) => !gone.has(mutant));
    }
  } finally {
    for (const file of [...files, root]) writeFileSync(join(TREE, file), readFileSync(join(ROOT, file)));
  }
  const programs = [];
  for (const program of compiled.programs) {
    const began = Date.now();
    const ended = await test(program, 0, LONGEST);
    const seconds = (Date.now() - began) / 1000;
    // Such as those that only pass when optimised.
    if (ended !== 'passed') console.log(`${program.name}: ${ended} without a mistake, and is not asked`);
    else programs.push({ ...program, seconds });
  }
  programs.sort((a, b) => a.seconds - b.seconds);
  if (programs.length === 0) throw new Error(`${crate}: no test program passes`);
  const survivors = [];
  let tried = 0;
  const left = [...mutants];
  const tryAll = async () => {
    for (let mutant = left.shift(); mutant && !isStopped; mutant = left.shift()) {
      let ended = 'passed';
      for (const program of programs) {
        ended = await test(program, mutant.number, Math.max(20, program.seconds * 3));
        if (ended !== 'passed') break;
      }
      tried += 1;
      if (process.env.TELL) console.log(`${ended === 'passed' ? 'MISSED' : ended} ${mutant.name}`);
      if (ended === 'passed') survivors.push(mutant);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, tryAll));
  console.log(
    `${crate}: ${tried - survivors.length} of ${tried} viable mutants were noticed; ` +
      `${mutants.length - tried} were not tried, ${known} are known to be equal, ` +
      `${dropped.length} do not compile, ` +
      `of ${listed.length} that there are`,
  );
  survivors.forEach((mutant) => console.log(`  NOT NOTICED: ${mutant.name}\n    ${keyOf(mutant)}`));
  return survivors.length;
}

let isStopped = false;
process.once('SIGINT', () => (isStopped = true));
const [count = '12', ...crates] = process.argv.slice(2);
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
mkdirSync(TREE, { recursive: true });
if (run('cargo', ['mutants', '--version'], { cwd: ROOT }).status !== 0) {
  const args = ['install', '--quiet', '--locked', '--root', TOOLS, '--target-dir', 'target/ci-tools-build'];
  if (run('cargo', [...args, 'cargo-mutants'], { cwd: ROOT, stdio: 'inherit' }).status !== 0) {
    console.error('mutants: NOT TRIED, cargo-mutants cannot be installed here');
    process.exit(1);
  }
}
copyTree();
console.log(`SEED=${seed}`);
let survived = 0;
for (const crate of crates.length > 0 ? crates : CRATES) {
  if (isStopped) break;
  survived += await tryCrate(crate, count === 'all' ? count : Number(count), random(seed));
}
process.exit(survived > 0 ? 2 : 0);
