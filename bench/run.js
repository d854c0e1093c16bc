// `npm run bench`: builds the clone if necessary, then runs the benchmarks in this process, so that ending this process also ends
// their child processes.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ready = fileURLToPath(new URL('../scripts/ready.js', import.meta.url));
const { status } = spawnSync(process.execPath, [ready], { stdio: ['ignore', 2, 2] });
if (status !== 0) process.exit(status ?? 1);
const { register } = await import('tsx/esm/api');
register();
await import('./harness/main.ts');
