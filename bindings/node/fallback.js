'use strict';

// Where there is no addon: the engine as WebAssembly, if `@stagedoor/wasm` is installed beside
// this package. It decides by the same code. What only the addon has throws, and says so.

const { version } = require('./package.json');

/** What the addon's engines have and the module's do not. */
const ADDON_ONLY = [
  'action',
  'areAllowedPrepared',
  'backstagePermissions',
  'backstageResiduals',
  'cacheSize',
  'compareBackstage',
  'decideBackstageEntity',
  'decideBackstageWithin',
  'decidePrepared',
  'decider',
  'explainBackstage',
  'generation',
  'isAllowedPrepared',
  'overBudget',
  'policyPlaces',
  'principal',
  'resourceType',
  'setOwners',
];

/** Returns what this package exports, from WebAssembly; throws `missing` where that is not there. */
function loadFallback(missing) {
  const wasm = requireWasm(missing);
  process.emitWarning(`${missing.message}: decisions are made in WebAssembly, more slowly`, {
    type: 'StagedoorWarning',
    code: missing.code,
  });
  const refuse = what => {
    const error = new Error(`${what} needs the addon: ${missing.message}`, { cause: missing });
    error.code = missing.code;
    throw error;
  };
  for (const name of ADDON_ONLY) {
    if (name in wasm.Engine.prototype) continue;
    const get = () => refuse(`\`engine.${name}\``);
    Object.defineProperty(wasm.Engine.prototype, name, { configurable: true, get });
  }
  const handle = name =>
    class {
      constructor() {
        refuse(`\`${name}\``);
      }
    };
  return {
    DecisionLog: handle('DecisionLog'),
    DecisionRecorder: handle('DecisionRecorder'),
    Engine: wasm.Engine,
    Entities: wasm.Entities,
    Principal: handle('Principal'),
    Action: handle('Action'),
    ResourceType: handle('ResourceType'),
    runPolicyTestFiles: () => refuse('`runPolicyTestFiles`'),
  };
}

function requireWasm(missing) {
  let found;
  try {
    found = require('@stagedoor/wasm/package.json').version;
  } catch {
    throw missing;
  }
  // Of another version it may read policies differently.
  if (found !== version) {
    missing.message += `; @stagedoor/wasm is ${found}, and has to be ${version}`;
    throw missing;
  }
  return require('@stagedoor/wasm');
}

module.exports = { ADDON_ONLY, loadFallback };
