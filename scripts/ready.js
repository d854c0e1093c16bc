// Prepares a fresh clone: installs the locked dependencies and builds, each only if necessary and in one process at a time. Prints only to
// stderr, because stdout of `npm run demo -- --json` must contain only the result.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installed } from './installed.js';
import { isBuilt, isWebBuilt } from './stamp.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`aiot needs Node 20.19 or newer; this is ${process.version}.\n`);
  process.exit(1);
}

/**
 * Runs a program with its output on stderr, where people see its errors. The program shares the turn, because it may outlive this process.
 */
function run(turn, program, args) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 2, 2] });
    if (child.pid !== undefined) turn.join(child.pid);
    child.on('error', ({ message }) => {
      process.stderr.write(`${message}\n`);
      resolve(false);
    });
    child.on('close', (code) => {
      turn.leave(child.pid);
      resolve(code === 0);
    });
  });
}

/** A separate cache for npm if its own is not writable, for example in a read-only home or a container. */
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

async function install(turn) {
  const cache = ownCache();
  const options = ['ci', '--no-audit', '--no-fund', '--loglevel=error', ...(cache ? ['--cache', cache] : [])];
  // Uses the npm that runs this script, or else the one on the PATH.
  const npm = process.env.npm_execpath;
  const done = npm ? await run(turn, process.execPath, [npm, ...options]) : await run(turn, 'npm', options);
  if (cache) rmSync(cache, { recursive: true, force: true });
  return done;
}

/** Installs and builds. Checks each condition again, because another process may have done the work while this one waited for its turn. */
async function prepare() {
  const { takeTurn } = await import('./turn.js');
  const turn = await takeTurn(root);
  if (!installed(root).fits) {
    process.stderr.write('Installing dependencies (once, about a minute) …\n');
    if (!(await install(turn)))
      throw new Error('The dependencies could not be installed: see the output of npm above.');
  }
  if (!isBuilt(root)) {
    process.stderr.write('Building …\n');
    if (!(await run(turn, process.execPath, ['scripts/build.js'])))
      throw new Error('The build failed: see its output above.');
  }
  if (!isWebBuilt(root) && !(await run(turn, process.execPath, ['scripts/web.js'])))
    throw new Error('The build of the dashboard failed: see its output above.');
}

const { fits, foreign } = installed(root);
if (!fits && foreign) {
  process.stderr.write(
    'node_modules is a link to another folder, which is missing or whose packages differ from package-lock.json.\n' +
      'Remove the link (rm node_modules), then run npm ci here. Nothing was changed.\n',
  );
  process.exit(1);
}
if (!fits || !isBuilt(root) || !isWebBuilt(root)) {
  try {
    await prepare();
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
