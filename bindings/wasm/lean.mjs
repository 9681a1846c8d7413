// Makes what the module's workspace takes in place of crates that are published: `module/lean/`, and a
// Cargo.lock of the one that all of Stagedoor has.
//
// Each change says what it looks for. If a crate has moved on and it is not there, the build ends, and a
// person looks at what the crate has become.

import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What Cedar's parser of policies reads a text as. */
const STARTS = ['Policies', 'Policy', 'Expr', 'Ref', 'Primary', 'Name', 'Ident'];

function replaced(text, from, to) {
  const after = text.replace(from, to);
  if (after === text) {
    throw new Error(`${from} is not to be found: see what the crate has become`);
  }
  return after;
}

function changed(path, ...changes) {
  const text = changes.reduce((text, [from, to]) => replaced(text, from, to), read(path));
  writeFileSync(path, text);
}

const read = path => readFileSync(path, 'utf8');

/** LALRPOP's lexer is another one here, which needs no regular expressions but those beside it. */
function leanLexer(copy, workspace) {
  changed(
    join(copy, 'Cargo.toml'),
    ['lexer = ["regex-automata"]', 'lexer = ["dep:regex"]'],
    ['std = ["regex-automata/perf"]', 'std = []'],
    ['unicode = ["regex-automata?/unicode"]', 'unicode = []'],
    [
      /\[dependencies\.regex-automata\]\n[^]*?default-features = false\n/,
      '[dependencies.regex]\nversion = "1"\noptional = true\ndefault-features = false\n',
    ],
  );
  cpSync(join(workspace, 'lexer.rs'), join(copy, 'src/lexer.rs'));
}

/**
 * LALRPOP makes a parser of its own for each `pub` of a grammar, with all tables and all code. Cedar's has
 * seven; here it has one, and a text begins with a mark that says what it is read as.
 */
function leanParser(copy) {
  const mark = start => `\\x0${STARTS.indexOf(start) + 1}`;
  const token = start => `AS_${start.toUpperCase()}`;
  const lines = of => STARTS.map(of).join('\n');
  changed(
    join(copy, 'src/parser/grammar.lalrpop'),
    ...STARTS.map(start => [`\npub ${start}:`, `\n${start}:`]),
    ['\nmatch {\n', `\nmatch {\n${lines(start => `"${mark(start)}" => ${token(start)},`)}\n`],
    [
      '\n// Policies :=',
      `\npub Any: cst::Any = {\n${lines(
        start => `${token(start)} <node:${start}> => cst::Any::${start}(node),`,
      )}\n};\n\n// Policies :=`,
    ],
  );
  const cst = join(copy, 'src/parser/cst.rs');
  const any = lines(start => `    ${start}(Node<${start}>),`);
  writeFileSync(
    cst,
    `${read(cst)}\n#[allow(missing_docs, missing_debug_implementations)]\npub enum Any {\n${any}\n}\n`,
  );
  changed(
    join(copy, 'src/parser/text_to_cst.rs'),
    ['        Arc::from(text)\n', '        Arc::from(text.get(1..).unwrap_or_default())\n'],
    [
      /static POLICIES_PARSER[^]*?IdentParser::new\);/,
      'static ANY_PARSER: LazyLock<grammar::AnyParser> = LazyLock::new(grammar::AnyParser::new);',
    ],
    ...STARTS.map(start => [
      new RegExp(
        `parse_collect_errors\\(\\s*&\\*\\w+,\\s*grammar::${start}Parser::parse,\\s*true,\\s*text,?\\s*\\)`,
      ),
      `parse_collect_errors(&*ANY_PARSER, grammar::AnyParser::parse, true, &format!("${mark(start)}{text}"))
        .map(|any| match any { cst::Any::${start}(node) => node, _ => unreachable!() })`,
    ]),
  );
}

/**
 * How a hash table grows is written out for each type that is put into one, some 160 times. Here it is
 * written once: a table that grows asks for each hash through a pointer.
 */
function leanTables(copy) {
  const raw = ['src/raw.rs', 'src/raw/mod.rs'].map(file => join(copy, file)).find(existsSync);
  changed(
    raw,
    ...['reserve_rehash_inner', 'resize_inner'].map(name => [
      new RegExp(`inline\\(always\\)(\\]\\s+unsafe fn ${name})`),
      'inline(never)$1',
    ]),
    [/#\[cfg_attr\([^\n]*inline\)\](\s+unsafe fn rehash_in_place)/, '#[inline(never)]$1'],
  );
  // An expectation of the lint that is about `always`.
  writeFileSync(raw, read(raw).replaceAll('#[expect(clippy::inline_always)]', ''));
}

/**
 * Writes `lean/` and Cargo.lock, of what `cargo metadata` says of these packages.
 *
 * `tables` is where the crate lies that the standard library has its hash tables from, if that library is
 * compiled as well.
 */
export function leanCrates(packages, root, workspace, tables) {
  const lean = join(workspace, 'lean');
  const found = (name, of = '') =>
    packages.find(it => it.name === name && it.version.startsWith(of));
  const crates = [found('lalrpop-util'), found('cedar-policy-core'), found('hashbrown', '0.17.')];
  // What is not written again is not compiled again.
  const made = [import.meta.filename, join(workspace, 'lexer.rs')].map(read);
  const stamp = JSON.stringify([made, crates.map(({ id }) => id), tables]);
  const stamped = join(lean, 'made-of.json');
  if (!existsSync(stamped) || read(stamped) !== stamp) {
    rmSync(lean, { recursive: true, force: true });
    const copied = (from, name) => {
      cpSync(from, join(lean, name), { recursive: true });
      return join(lean, name);
    };
    const [util, core, own] = crates.map(it => copied(dirname(it.manifest_path), it.name));
    leanLexer(util, workspace);
    leanParser(core);
    leanTables(own);
    if (tables) leanTables(copied(tables, 'hashbrown-of-std'));
    writeFileSync(stamped, stamp);
  }

  let lock = read(join(root, 'Cargo.lock'));
  for (const name of ['cedar-policy-core', 'lalrpop-util', 'regex', 'hashbrown']) {
    const version = name === 'hashbrown' ? '"0\\.17\\..*' : '.*';
    const published = new RegExp(
      `(name = "${name}"\nversion = ${version}\n)source = .*\nchecksum = .*\n`,
    );
    lock = replaced(lock, published, '$1');
  }
  writeFileSync(join(workspace, 'Cargo.lock'), lock);
}
