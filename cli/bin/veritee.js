#!/usr/bin/env node
// npm links a workspace's bin only when the file exists at install time, so this launcher is committed and loads the build.
import { existsSync } from 'node:fs';

const DEFECT = 70;
const main = new URL('../dist/main.js', import.meta.url);
if (!existsSync(main)) {
  process.stderr.write('veritee is not built yet. Run `npm ci` (or `npm run build`) in the repository root.\n');
  process.exit(DEFECT);
}
try {
  await import(main.href);
} catch (error) {
  // Node's own status for this is 1, which here means contraindicated.
  process.stderr.write(`veritee cannot be loaded: ${error.message}\nRun \`npm ci\` in the repository root.\n`);
  process.exit(DEFECT);
}
