'use strict';

// Which packages of Backstage conditions are held against: those that the backend module is tested
// with, the oldest that it supports, or those of the folder that `BACKSTAGE_LINE` names.

const { createRequire } = require('node:module');
const path = require('node:path');

const folder = path.resolve(__dirname, process.env.BACKSTAGE_LINE ?? '../backstage');

/** Requires a package of that release line. */
const backstage = createRequire(path.join(folder, 'package.json'));

/** The version of a package. */
const versionOf = name => backstage(`${name}/package.json`).version;

module.exports = { backstage, versionOf };
