// Prepares a fresh clone: installs the locked dependencies and builds, each only if necessary. Prints to stderr only, so that `npm run
// demo -- --json` keeps stdout for its result.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installed } from './installed.js';
import { isWebBuilt, stampOf } from './stamp.js';

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

/** Runs a program with its output on stderr; the output explains failures. */
function run(program, args) {
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 2, 2] });
  if (error) process.stderr.write(`${error.message}\n`);
  return status === 0;
}

/** A separate cache if npm's cannot be written to, as in a read-only home or a container. */
function ownCache() {
  const cache = process.env.npm_config_cache ?? join(homedir(), '.npm');
  try {
    mkdirSync(cache, { recursive: true });
    const probe = mkdtempSync(join(cache, '.aiot-'));
    rmSync(probe, { recursive: true });
    return undefined;
  } catch {
    return mkdtempSync(join(tmpdir(), 'aiot-npm-'));
  }
}

function install() {
  const cache = ownCache();
  const options = ['ci', '--no-audit', '--no-fund', '--loglevel=error', ...(cache ? ['--cache', cache] : [])];
  // The npm that runs this script, or the one on the PATH.
  const npm = process.env.npm_execpath;
  const done = npm ? run(process.execPath, [npm, ...options]) : run('npm', options);
  if (cache) rmSync(cache, { recursive: true, force: true });
  return done;
}

const { fits, foreign } = installed(root);
if (!fits && foreign) {
  process.stderr.write(
    'node_modules is a link to another folder, which is missing or whose packages differ from package-lock.json.\n' +
      'Remove the link (rm node_modules), then run npm ci here. Nothing was changed.\n',
  );
  process.exit(1);
}
if (!fits) {
  process.stderr.write('Installing dependencies (once, about a minute) …\n');
  if (!install()) {
    process.stderr.write('The dependencies could not be installed: see the output of npm above.\n');
    process.exit(1);
  }
}
if (read(join('dist', '.stamp')) !== stampOf(root)) {
  process.stderr.write('Building …\n');
  if (!run(process.execPath, ['scripts/build.js'])) process.exit(1);
}
if (!isWebBuilt(root) && !run(process.execPath, ['scripts/web.js'])) process.exit(1);
