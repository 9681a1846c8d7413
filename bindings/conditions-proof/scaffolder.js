'use strict';

// The scaffolder's own rules, which it applies in memory alone.

const path = require('node:path');

const { backstage } = require('./line.js');

const root = path.dirname(backstage.resolve('@backstage/plugin-scaffolder-backend/package.json'));
const { scaffolderActionRules, scaffolderTaskRules, scaffolderTemplateRules } = backstage(
  path.join(root, 'dist/service/rules.cjs.js'),
);
const { createConditionAuthorizer } = backstage('@backstage/plugin-permission-node');

const rules = [scaffolderActionRules, scaffolderTaskRules, scaffolderTemplateRules];

/** Whether a decision lets a resource pass. */
const appliesToResource = createConditionAuthorizer(rules.flatMap(Object.values));

module.exports = { appliesToResource };
