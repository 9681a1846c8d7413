'use strict';

const { shareCases } = require('../../cases.js');
const addon = require('../main.js');

shareCases(addon);
