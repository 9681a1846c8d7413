// What an engine is made of.

import { mistyped, StagedoorError } from './error.js';
import { object, text } from './values.js';

/** A policy file or schema that is given as text. */
export interface SourceText {
  /** Its name in messages; the ending tells what it is, as for files. */
  name: string;
  /** The text. */
  text: string;
}

/** Bounds on the conditions of one answer. What is left out keeps its default. */
export interface ConditionBudget {
  /** The most rules (64). */
  leaves?: number;
  /** How deep rules may nest (16). */
  depth?: number;
  /** The most bytes of the conditions as JSON (1,647). */
  bytes?: number;
}

/** What can be limited. */
export type LimitName =
  | 'fileBytes'
  | 'policyBytes'
  | 'policies'
  | 'nesting'
  | 'operators'
  | 'schemaParts'
  | 'validationSteps'
  | 'entities'
  | 'ancestors'
  | 'memberships'
  | 'stringBytes'
  | 'problems';

/** What an engine is made of. At least one of `directory`, `files` and `texts` is needed. */
export interface EngineOptions {
  /**
   * In Node: a directory of which all `*.cedar`, `*.cedar.json`, `*.cedarschema` and
   * `*.cedarschema.json` are read, below it too.
   */
  directory?: string;
  /** In Node: such files. */
  files?: string[];
  /** Such files as texts. */
  texts?: SourceText[];
  /** In Node: a bundle, as `stagedoor bundle` writes it, in place of a directory and files. */
  bundle?: string;
  /**
   * Whose words the policies use. `backstage` adds Backstage's schema and the permissions in the
   * directory's `*.permissions.yaml`, and is needed for `decideBackstage`; `kubernetes` adds
   * Kubernetes' schema, and is needed for `reviewAccess`.
   */
  platform?: 'backstage' | 'kubernetes';
  /** How many of Backstage's answers are kept (20,000). */
  cacheSize?: number;
  /** How large Backstage's conditions may be; larger ones are a denial with a finding. */
  budget?: ConditionBudget;
  /**
   * Other limits than the default ones on what is loaded and decided about, such as
   * `{policyBytes: 131072}`: the names and numbers are those of `--limits` of the command.
   * `operators` and `nesting` can be lowered only: a host gives WebAssembly little stack.
   */
  limits?: Partial<Record<LimitName, number>>;
  /**
   * Decide exactly as Cedar does: without a schema, and with a `forbid` that cannot be evaluated
   * left out. For conformance tests.
   */
  exactCedar?: boolean;
}

/** What stands at a path, links followed. */
export interface TreeEntry {
  path: string;
  kind:
    | 'file'
    | 'directory'
    | 'linkedDirectory'
    | 'brokenLink'
    | 'special'
    | 'binary'
    | 'unreadable'
    | 'unreadableDirectory';
  /** What a file holds that is read. */
  text?: string;
}

/** Reads files, where there are any. */
export interface Files {
  /** What stands at these paths and below them. */
  tree(paths: readonly string[]): TreeEntry[];
  text(path: string): string;
}

let files: Files | undefined;

/** Tells how files are read. */
export function readFilesBy(reader: Files): void {
  files = reader;
}

const TYPES: Record<keyof EngineOptions, [(value: unknown) => boolean, string]> = {
  directory: [isText, 'a path'],
  files: [value => Array.isArray(value) && value.every(isText), 'a list of paths'],
  texts: [value => Array.isArray(value) && value.every(isSource), 'a list of {name, text}'],
  bundle: [isText, 'a path'],
  platform: [isText, "'backstage' or 'kubernetes'"],
  cacheSize: [isSize, 'a number'],
  budget: [
    value => isObject(value) && Object.values(value).every(isSize),
    '{leaves, depth, bytes}',
  ],
  limits: [
    value => isObject(value) && Object.values(value).every(Number.isSafeInteger),
    'an object, such as {policyBytes: 131072}',
  ],
  exactCedar: [value => typeof value === 'boolean', 'true or false'],
};

/** Options of `@stagedoor/node` about custom rules. */
const ADDON_ONLY = ['rules', 'ruleHost'];

/** Checks options, and returns them as the module reads them, with the files' texts. */
export function serializeOptions(options: EngineOptions): string {
  const given: unknown = options;
  if (!isObject(given)) {
    throw mistyped('options', "an object, such as {directory: 'policies'}");
  }
  for (const [name, value] of Object.entries(given)) {
    const type = Object.hasOwn(TYPES, name) ? TYPES[name as keyof EngineOptions] : undefined;
    if (ADDON_ONLY.includes(name)) {
      const help = 'take `@stagedoor/node` where a native addon is allowed';
      throw unfit(`\`${name}\`: custom rules are not run in WebAssembly`, help);
    }
    if (type === undefined) {
      throw unfit(`options: ${unknownKey(name, Object.keys(TYPES))}`);
    }
    if (value !== undefined && !type[0](value)) {
      throw mistyped(`\`${name}\``, type[1]);
    }
  }
  const { directory, files: named = [], texts = [], bundle, platform } = options;
  const { cacheSize, budget, limits } = options;
  consistent(options);
  const reader = () => {
    if (files === undefined) {
      throw unfit('there are no files here', 'give `texts`');
    }
    return files;
  };
  const fields = [`"exactCedar":${options.exactCedar ?? false}`];
  if (platform !== undefined) fields.push(`"platform":${text(platform, '`platform`')}`);
  if (cacheSize !== undefined) fields.push(`"cacheSize":${cacheSize}`);
  if (budget !== undefined) fields.push(`"budget":${JSON.stringify(budget)}`);
  if (limits !== undefined) fields.push(`"limits":${JSON.stringify(limits)}`);
  const paths = [...(directory === undefined ? [] : [directory]), ...named];
  if (bundle !== undefined) {
    fields.push(`"bundle":${embedded(reader().text(bundle), bundle)}`);
  } else if (paths.length > 0) {
    fields.push(`"tree":${JSON.stringify(reader().tree(paths))}`);
    fields.push(`"paths":${JSON.stringify(paths)}`);
  }
  const sources = texts.map(source =>
    object(source, { name: text(source.name, '`name`'), text: text(source.text, '`text`') }),
  );
  fields.push(`"texts":[${sources.join()}]`);
  return `{${fields.join()}}`;
}

function consistent({
  directory,
  files = [],
  texts = [],
  bundle,
  platform,
  exactCedar,
}: EngineOptions) {
  const none = directory === undefined && files.length === 0 && texts.length === 0;
  if (platform !== undefined && platform !== 'backstage' && platform !== 'kubernetes') {
    const help = "leave it out, or write 'backstage' or 'kubernetes'";
    throw unfit(`\`platform\` is \`${String(platform)}\`, which is not known`, help);
  }
  if (bundle !== undefined && (directory !== undefined || files.length > 0)) {
    throw unfit('`bundle` stands in place of `directory` and `files`: leave them out');
  }
  if (none && bundle === undefined) {
    throw unfit('no policies are named', 'give `directory`, `files`, `texts` or `bundle`');
  }
  if (exactCedar && platform !== undefined) {
    throw unfit('`exactCedar` and `platform` do not go together');
  }
  if (platform === 'backstage' && directory !== undefined && files.length + texts.length > 0) {
    throw unfit("of a platform's policies, either `directory` or others are given");
  }
}

/** Returns the JSON of a file, which is put into a call, and could leave its place otherwise. */
function embedded(json: string, file: string): string {
  try {
    JSON.parse(json);
    return json;
  } catch (cause) {
    const message = `not a bundle of policies: ${String(cause)}`;
    throw new StagedoorError({ code: 'permissions::file', message, file }, { cause });
  }
}

/** Says that a key is none of those that are known, and which is the nearest. */
function unknownKey(key: string, known: readonly string[]): string {
  const lower = key.toLowerCase();
  const [nearest] = known
    .map(name => ({ name, far: distance(name.toLowerCase(), lower) }))
    .filter(({ name, far }) => far <= Math.max(1, Math.floor(name.length / 3)))
    .sort((a, b) => a.far - b.far);
  return nearest
    ? `unknown key \`${key}\`: did you mean \`${nearest.name}\`?`
    : `unknown key \`${key}\`: the keys are ${known.map(name => `\`${name}\``).join(', ')}`;
}

/** How many letters have to be put in, taken out or changed to make one text of another. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (const [n, letter] of [...a.slice(0, 64)].entries()) {
    const next = [n + 1];
    for (let m = 0; m < b.length; m += 1) {
      const changed = (row[m] ?? 0) + (b[m] === letter ? 0 : 1);
      next.push(Math.min(changed, (row[m + 1] ?? 0) + 1, (next[m] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function unfit(message: string, help?: string): StagedoorError {
  return new StagedoorError({ code: 'argument::option', message, ...(help && { help }) });
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isSize(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isSource(value: unknown): boolean {
  return isObject(value) && isText(value.name) && isText(value.text);
}
