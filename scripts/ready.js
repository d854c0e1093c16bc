// Makes a fresh clone ready: installs the locked dependencies and builds, each only when it is needed.
// Prints to stderr alone, so that `npm run demo -- --json` keeps stdout for its result.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stampOf } from './stamp.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`aiot needs Node 20.19 or newer; this is ${process.version}.\n`);
  process.exit(1);
}

function read(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

const lock = read('package-lock.json');
const installed = join('node_modules', '.aiot-lock');
if (read(installed) !== lock) {
  process.stderr.write('Installing dependencies (once, about a minute) …\n');
  const npm = process.env.npm_execpath;
  const [command, args] = npm ? [process.execPath, [npm, 'ci']] : ['npm', ['ci']];
  execFileSync(command, [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    stdio: ['ignore', 2, 2],
  });
  writeFileSync(installed, lock);
}
if (read(join('dist', '.stamp')) !== stampOf(root)) {
  process.stderr.write('Building …\n');
  execFileSync(process.execPath, ['scripts/build.js'], { stdio: ['ignore', 2, 2] });
}
