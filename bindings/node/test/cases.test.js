'use strict';

const { shareCases, shareWireCases } = require('../../cases.js');
const addon = require('../main.js');

shareCases(addon);
shareWireCases(addon);
