'use strict';

// Compiles one custom rule that comes by the standard input: what the addon starts Node with, so
// that compiling has bounds on its time and memory, and ends at them.

require('./index.js').compileRule();
