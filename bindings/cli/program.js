'use strict';

// Finds the program for this platform, which comes in an optional package of its own.

const { optionalDependencies = {}, version } = require('./package.json');

/** Returns the path of the program. Throws what is missing, why, and what to do about it. */
function program({ resolve = require.resolve, platform = process } = {}) {
  const file = platform.platform === 'win32' ? 'stagedoor.exe' : 'stagedoor';
  const names = packages(platform);
  for (const name of names) {
    try {
      return resolve(`${name}/${file}`);
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw new Error(missing(`${platform.platform}-${platform.arch}`, names));
}

/** The packages whose program runs here, the best first. */
function packages({ platform, arch, report }) {
  const name = `@stagedoor/cli-${platform}-${arch}`;
  if (platform === 'win32') return [`${name}-msvc`];
  if (platform !== 'linux') return [name];
  // The one for musl is static, so it runs beside any C library.
  return usesGlibc(report) ? [`${name}-gnu`, `${name}-musl`] : [`${name}-musl`];
}

function usesGlibc(report) {
  if (!report) return true;
  // It would ask for the names of all network interfaces, which can take long.
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  const { header } = report.getReport();
  report.excludeNetwork = before;
  return Boolean(header.glibcVersionRuntime);
}

function missing(platform, names) {
  const published = Object.keys(optionalDependencies);
  const source = `or install it with Rust: cargo install --locked stagedoor-cli@${version}`;
  if (published.length > 0 && !names.some(name => published.includes(name))) {
    return `@stagedoor/cli has no program for ${platform}; take another machine, ${source}`;
  }
  return (
    `@stagedoor/cli lacks its program for ${platform}, which is in ${names.join(' or ')}: install with ` +
    'optional dependencies (without `--omit=optional`; a lock file that another platform wrote may ' +
    `lack it: remove it and node_modules, and install again), ${source}`
  );
}

module.exports = { packages, program };
