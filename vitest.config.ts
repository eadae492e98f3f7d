import { defineConfig } from 'vitest/config';

// Sources are tested directly: the `veritee-source` export condition points at index.ts instead of the build.
export default defineConfig({
  resolve: { conditions: ['veritee-source', 'node'] },
  ssr: { resolve: { conditions: ['veritee-source', 'node'] } },
  test: {
    globalSetup: ['test/support/chip.ts'],
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default'],
  },
});
