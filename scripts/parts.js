// Installs the third-party parts that the second ring of tests uses, on Debian:
//
//   npm run parts                   all of them
//   npm run parts -- kafka flash    parts by name, or all that a folder of test/ needs
//   npm run parts -- --list         purpose and size of each, and whether it is installed
//
// Installed parts are skipped, so a second run does nothing. Without root, apt packages are only listed, and the other parts are
// installed.
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { chosen, environmentStamp, partOf as find, root, usersOfParts } from './parts/table.js';
import { takeTurn } from './turn.js';

process.chdir(root);
const words = process.argv.slice(2);
if (words.includes('--help') || words.includes('-h')) {
  process.stdout.write(
    'npm run parts [-- NAME…] [-- --list]\nNAME is a part, or a folder of test/. Without one: all parts.\n',
  );
} else {
  try {
    const names = chosen(words.filter((word) => word !== '--list'));
    if (words.includes('--list')) list(names);
    else process.exitCode = (await install(names)) ? 0 : 1;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 2;
  }
}

/** @param {string[]} names */
function list(names) {
  const users = usersOfParts();
  const width = Math.max(...names.map((name) => name.length));
  for (const name of names) {
    const part = partOf(name);
    const size = part.mb === 0 ? '' : `${part.mb} MB`;
    const state = part.ready() ? 'ready' : (part.elsewhere ?? 'missing');
    process.stdout.write(
      `${name.padEnd(width)}  ${size.padStart(7)}  ${part.for} [${[...(users.get(name) ?? [])].sort().join(', ')}]: ${state}\n`,
    );
  }
}

/**
 * @param {string[]} names
 * @returns whether all of them are now ready, except those that this script cannot install
 */
async function install(names) {
  // Only one clone at a time installs parts.
  await takeTurn(sharedFolder(), { waitMs: 60 * 60_000 });
  const wanted = withNeeds(names).filter((name) => !partOf(name).ready());
  if (wanted.length === 0) {
    process.stdout.write(`${names.length} parts are ready.\n`);
    return true;
  }
  const packages = [...new Set(wanted.flatMap((name) => partOf(name).apt ?? []))].filter(
    (name) => !isInstalled(name),
  );
  if (packages.length > 0) apt(packages);
  // Two at a time: some mostly download, others mostly compile.
  const failed = (await inOrder(wanted, 2, make)).filter((name) => name !== undefined);
  if (failed.length > 0)
    process.stdout.write(
      `Not installed: ${failed.join(', ')}. Run npm run parts -- ${failed.join(' ')} again.\n`,
    );
  return failed.length === 0;
}

/**
 * The folder with the parts. Unless the clone already has a folder .venv, it gets a link to a folder that all clones of this user share, so
 * that a new clone does not spend 20 minutes on the same parts. AIOT_PARTS names another folder. If the definition of a part differs
 * between clones, the last installation replaces the part for all of them.
 */
function sharedFolder() {
  const found = lstatSync('.venv', { throwIfNoEntry: false });
  if (found?.isDirectory()) return realpathSync('.venv');
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const shared = found ? resolve(readlinkSync('.venv')) : process.env.AIOT_PARTS || join(cache, 'aiot-parts');
  mkdirSync(shared, { recursive: true });
  if (!found) symlinkSync(shared, '.venv');
  return realpathSync('.venv');
}

/**
 * Runs `work` for each name, at most `width` at a time, and for a part only after those that are required to build it.
 * @template T
 * @param {string[]} names
 * @param {number} width
 * @param {(name: string) => Promise<T>} work
 * @returns {Promise<T[]>} the results, in the order of the names
 */
async function inOrder(names, width, work) {
  /** @type {Map<string, Promise<T>>} */
  const started = new Map();
  /** @type {Set<Promise<unknown>>} */
  const running = new Set();
  for (const name of names) {
    while (running.size >= width) await Promise.race(running);
    const before = (partOf(name).after ?? []).map((other) => started.get(other));
    const one = Promise.all(before).then(() => work(name));
    started.set(name, one);
    running.add(one);
    void one.then(() => running.delete(one));
  }
  return Promise.all(started.values());
}

/**
 * Installs one part, and prints the result.
 * @param {string} name
 * @returns {Promise<string | undefined>} the name if it could not be installed, except a part that this script cannot install
 */
async function make(name) {
  const part = partOf(name);
  const started = Date.now();
  const log = part.python
    ? await environment(name, part.python)
    : part.script
      ? await run(['sh', `scripts/parts/${part.script}`])
      : '';
  const seconds = Math.round((Date.now() - started) / 1000);
  if (part.ready()) process.stdout.write(`${name}: ready${seconds > 0 ? `, ${seconds} s` : ''}\n`);
  else if (part.elsewhere) process.stdout.write(`${name} is missing. ${part.elsewhere}\n`);
  else {
    process.stdout.write(`${name}: could not be installed\n${log.split('\n').slice(-12).join('\n')}\n`);
    if (!part.optional) return name;
  }
  return undefined;
}

/** @param {string} name */
function partOf(name) {
  const part = find(name);
  if (!part) throw new Error(`unknown part: ${name}`);
  return part;
}

/** Adds the parts that are required to build these parts, in the order of installation. @param {string[]} names */
function withNeeds(names) {
  /** @type {Set<string>} */
  const ordered = new Set();
  /** @param {string} name */
  const add = (name) => {
    for (const other of partOf(name).after ?? []) add(other);
    ordered.add(name);
  };
  for (const name of names) add(name);
  return [...ordered];
}

/** @param {string} name of a Debian package */
function isInstalled(name) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a field in dpkg-query's own format
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${Status}', name], { encoding: 'utf8' });
  return stdout?.includes('ok installed') ?? false;
}

/** @param {string[]} packages */
function apt(packages) {
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const command = ['apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...packages];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const [program = '', ...before] = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive'];
  process.stdout.write(`apt-get install ${packages.join(' ')}\n`);
  // Retries, because a mirror may be in the middle of an update, or a connection may break.
  for (let attempt = 1; attempt <= 3; attempt++) {
    spawnSync(program, [...before, 'apt-get', 'update', '-qq'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const { status, stderr } = spawnSync(program, [...before, ...command], {
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    if (status === 0) return;
    if (attempt === 3)
      process.stdout.write(
        `${stderr ?? ''}\napt-get failed to install them. As root, run:  ${command.join(' ')}\n`,
      );
  }
}

/**
 * Creates a virtual environment in .venv/NAME with exactly these packages. Its stamp is written last.
 * @param {string} name
 * @param {string[]} requirements
 */
async function environment(name, requirements) {
  // The programs in the environment contain this path, so it must not be that of one clone.
  const folder = join(realpathSync('.venv'), name);
  rmSync(folder, { recursive: true, force: true });
  const made = await run([process.env.PYTHON ?? 'python3', '-m', 'venv', folder]);
  if (!existsSync(join(folder, 'bin', 'pip'))) return made;
  const pip = [
    join(folder, 'bin', 'python'),
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--only-binary',
    ':all:',
  ];
  const log = await run([...pip, ...requirements]);
  if (!log.startsWith('\0')) writeFileSync(join(folder, '.stamp'), `${environmentStamp(name)}\n`);
  return log;
}

/**
 * @param {string[]} command
 * @returns {Promise<string>} its output; prefixed with a NUL if it failed
 */
function run([program = '', ...args]) {
  return new Promise((resolve) => {
    let log = '';
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        log += chunk;
      });
    child.on('error', (error) => resolve(`\0${error.message}`));
    child.on('close', (code) => resolve(code === 0 ? log : `\0${log}`));
  });
}
