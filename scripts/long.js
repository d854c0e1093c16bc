/**
 * `npm run test:long`: runs the first ring's property tests, which are the files that import `test/support/property.ts`,
 * with their full number of runs.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const propertyTests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts') && !name.endsWith('.real.test.ts'))
  .filter((name) => readFileSync(join(root, 'test', name), 'utf8').includes("support/property.js'"))
  .map((name) => `test/${name.replaceAll('\\', '/')}`);

const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const { status } = spawnSync(process.execPath, [vitest, 'run', ...propertyTests, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, AIOT_LONG: '1' },
});
process.exitCode = status ?? 1;
