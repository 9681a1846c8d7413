'use strict';

/** What else the real backend finds in its environment; set before its tests are required. */
module.exports = { environment: async () => ({}) };
