'use strict';

// Loads the addon through the loader that `napi` generates. Where there is none, says in one line
// what is missing, why, and what to do about it.

const { version, optionalDependencies = {} } = require('./package.json');

/** Returns the addon, or the error that tells why there is none. */
function loadAddon() {
  try {
    return { addon: require('./index.js') };
  } catch (cause) {
    return { error: missing(cause) };
  }
}

function missing(cause) {
  const platform = `${process.platform}-${process.arch}`;
  const where = `${platform} (Node ${process.versions.node})`;
  const error = new Error(
    `@stagedoor/node has no addon for ${where}: ${whatToDo(platform)} (${firstLine(cause)})`,
    { cause },
  );
  error.code = 'addon::missing';
  return error;
}

function whatToDo(platform) {
  const wasm = `install @stagedoor/wasm@${version} beside it to decide in WebAssembly`;
  const built = Object.keys(optionalDependencies).filter(name => name.includes(`-${platform}`));
  const unfit = installed(built);
  if (unfit.length > 0) {
    return `${unfit.join(' and ')} is installed and does not load here; ${wasm}`;
  }
  if (built.length > 0) {
    return (
      `install with optional dependencies, of which ${built.join(' or ')} is one (without ` +
      '`--omit=optional`; a lock file that another platform wrote may lack it: remove it and ' +
      `node_modules, and install again), or ${wasm}`
    );
  }
  if (Object.keys(optionalDependencies).length > 0) return `none is published; ${wasm}`;
  return `install it from the registry, run "npm run build" in the package's source, or ${wasm}`;
}

function installed(names) {
  return names.filter(name => {
    try {
      return Boolean(require.resolve(`${name}/package.json`));
    } catch {
      return false;
    }
  });
}

/** What the loader met stands in the chain of causes: best what is not merely absent. */
function firstLine(cause) {
  const met = [];
  for (let each = cause; each; each = each.cause) met.push(each);
  const own = met.slice(1);
  const told = own.find(({ code }) => code !== 'MODULE_NOT_FOUND') ?? own.at(-1) ?? cause;
  return String(told?.message ?? told).split('\n', 1)[0];
}

module.exports = { loadAddon };
