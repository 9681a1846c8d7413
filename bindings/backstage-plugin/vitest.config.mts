import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'jsdom',
    include: ['test/*.test.{ts,tsx}'],
    // Only what hangs takes so long.
    testTimeout: 120_000,
    setupFiles: ['test/setup.ts'],
  },
});
