'use strict';

const { join } = require('node:path');

const { loadAddon } = require('./addon.js');
const { keepAnswers } = require('./answers.js');
const { decisionLogOf } = require('./decisionLog.js');
const { loadFallback } = require('./fallback.js');
const { takeObjects } = require('./handles.js');
const { takeRequests } = require('./requests.js');

const { addon, error } = loadAddon();
if (addon) {
  keepAnswers(addon.Engine);
  takeObjects(addon.Engine);
  takeRequests(addon.Engine);
  // Custom rules are compiled by another Node, which can be stopped.
  addon.setRuleCompiler(process.execPath, [join(__dirname, 'compiler.js')]);
}
const engine = addon ?? loadFallback(error);

module.exports.DecisionLog = engine.DecisionLog ?? decisionLogOf(engine.DecisionRecorder);
module.exports.DecisionRecorder = engine.DecisionRecorder;
module.exports.Engine = engine.Engine;
module.exports.Entities = engine.Entities;
module.exports.Principal = engine.Principal;
module.exports.Action = engine.Action;
module.exports.ResourceType = engine.ResourceType;
module.exports.PolicyReplica = engine.PolicyReplica;
module.exports.runPolicyTestFiles = engine.runPolicyTestFiles;
