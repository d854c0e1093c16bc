// Makes a fresh clone ready: installs the locked dependencies and builds, each only when it is needed.
// Prints to stderr alone, so that `npm run demo -- --json` keeps stdout for its result.
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
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

/** Runs a program with its output on stderr; what it printed says what went wrong. */
function run(program, args) {
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 2, 2] });
  if (error) process.stderr.write(`${error.message}\n`);
  return status === 0;
}

/** A cache of our own where npm's cannot be written: a read-only home, or a container's. */
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

const lock = read('package-lock.json');
const installed = join('node_modules', '.aiot-lock');
// A linked folder is another checkout's: installing into it would empty that one's.
const linked = lstatSync('node_modules', { throwIfNoEntry: false })?.isSymbolicLink();
if (!linked && read(installed) !== lock) {
  process.stderr.write('Installing dependencies (once, about a minute) …\n');
  if (!install()) {
    process.stderr.write('The dependencies could not be installed: npm says why above.\n');
    process.exit(1);
  }
  writeFileSync(installed, lock);
}
if (read(join('dist', '.stamp')) !== stampOf(root)) {
  process.stderr.write('Building …\n');
  if (!run(process.execPath, ['scripts/build.js'])) process.exit(1);
}
if (!isWebBuilt(root) && !run(process.execPath, ['scripts/web.js'])) process.exit(1);
