'use strict';

const { join } = require('node:path');

const { keepAnswers } = require('./answers.js');

// Loads the addon through the loader that `napi` generates, and says in one line what is
// missing where there is none.

let addon;
try {
  addon = require('./index.js');
} catch (cause) {
  const platform = `${process.platform}-${process.arch}`;
  const error = new Error(
    `@stagedoor/node has no addon for ${platform} (Node ${process.versions.node}): ` +
      `install the optional package @stagedoor/node-${platform}*, or run "npm run build" in ` +
      `the package's source (${firstLine(cause)})`,
    { cause },
  );
  error.code = 'addon::missing';
  throw error;
}

function firstLine(cause) {
  const first = [cause, ...(cause?.cause?.errors ?? [cause?.cause])].at(-1) ?? cause;
  return String(first?.message ?? first).split('\n', 1)[0];
}

keepAnswers(addon.Engine);
// Custom rules are compiled by another Node, which can be stopped.
addon.setRuleCompiler(process.execPath, [join(__dirname, 'compiler.js')]);

module.exports.Engine = addon.Engine;
module.exports.Entities = addon.Entities;
module.exports.Principal = addon.Principal;
module.exports.Action = addon.Action;
module.exports.ResourceType = addon.ResourceType;
module.exports.runPolicyTestFiles = addon.runPolicyTestFiles;
