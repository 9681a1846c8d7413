'use strict';

const { createExampleBackend } = require('./backend.js');

createExampleBackend().start();
