'use strict';

const { shareCases, shareDirectories, shareWireCases } = require('../../cases.js');
const addon = require('../main.js');

shareCases(addon);
shareDirectories(addon, { hasRules: true });
shareWireCases(addon);
