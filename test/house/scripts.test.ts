import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packagesLoadedBy } from '../../scripts/imports.js';
import { installed } from '../../scripts/installed.js';
import { brokenRules, drawModules } from '../../scripts/modules.js';
import { terminalSvg } from '../../scripts/picture/svg.js';
import { sharedWithWeb } from '../../scripts/stamp.js';
import { root } from '../support/cli.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aiot-house-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const running = new Set<ChildProcess>();
afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
});

/**
 * Starts a Node process with these arguments, which is stopped after the test at the latest. `ended` resolves to its exit code.
 */
function started(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  running.add(child);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return {
    pid: child.pid,
    kill: () => child.kill('SIGKILL'),
    says: (text: string) => expect.poll(() => stderr).toContain(text),
    ended: once(child, 'exit').then(([code]) => code as number | null),
  };
}

/** Writes a repository with these files. */
function repository(files: Record<string, string>): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

describe('the module check', () => {
  it.each([
    [
      'from a higher module',
      "import { a } from '../model/index.js';",
      'core may not import from model, which is above it',
    ],
    ['of a type from a higher module', "import type { A } from '../model/index.js';", 'which is above it'],
    ['from a higher module at run time', "const a = await import('../model/index.js');", 'which is above it'],
    [
      'from a higher module in a multiline export',
      "export {\n  a,\n  type B,\n} from '../model/index.js';",
      'above it',
    ],
  ])('finds an import %s', (_what, line, problem) => {
    const made = repository({ 'src/lib/core/index.ts': line, 'src/lib/model/index.ts': '' });
    expect(brokenRules(made)).toEqual([expect.stringContaining(problem)]);
  });

  it('finds an import past an index, an unresolved import and an unknown module', () => {
    const made = repository({
      'src/lib/core/ids.ts': '',
      'src/lib/model/index.ts': "import { a } from '../core/ids.js';\nimport { b } from '../data/index.js';",
      'src/lib/attic/index.ts': '',
    });
    expect(brokenRules(made)).toEqual([
      'src/lib/attic: not a module listed in scripts/modules.js',
      "src/lib/model/index.ts: imports src/lib/core/ids.ts, past that module's index.ts",
      'src/lib/model/index.ts: imports src/lib/data/index.ts, which does not exist',
    ]);
  });

  it('draws an arrow for each import that others do not imply', () => {
    const made = repository({
      'src/commands/train.ts': "import { a } from '../lib/model/index.js';\nimport '../lib/core/index.js';",
      'src/lib/model/index.ts': "import { a } from '../core/index.js';",
      'src/lib/core/index.ts': '',
    });
    expect(drawModules(made)).toBe('```mermaid\nflowchart TD\n  commands --> model\n  model --> core\n```');
  });
});

describe('bin/run.js in a clone that was never built', () => {
  it.each([
    ['builds once, and runs in the caller’s working directory', 0, /^Building\nBuilt\.\n$/],
    ['prints only the output of the failed build', 1, /^Building\n$/],
  ])('%s', (_what, status, said) => {
    const made = repository({
      'package.json': '{"type":"module"}',
      'elsewhere/here': '',
      'scripts/ready.js': `import { mkdirSync, writeFileSync } from 'node:fs';
        console.log('Building');
        process.chdir(new URL('..', import.meta.url).pathname);
        if (${status}) process.exit(1);
        mkdirSync('dist/lib/cli', { recursive: true });
        writeFileSync('dist/lib/cli/main.js', 'export const main = (argv) => console.log(...argv, process.cwd());');
        console.log('Built.');`,
      'bin/here': '',
    });
    copyFileSync(join(root, 'bin/run.js'), join(made, 'bin/run.js'));
    const cwd = join(realpathSync(made), 'elsewhere');
    const run = () => spawnSync(process.execPath, ['../bin/run.js', 'doctor'], { cwd, encoding: 'utf8' });
    const first = run();
    expect(first.stderr).toMatch(said);
    expect(first.status).toBe(status);
    expect(first.stdout).toBe(status === 0 ? `doctor ${cwd}\n` : '');
    if (status === 0) expect(run()).toMatchObject({ stderr: '', stdout: `doctor ${cwd}\n` });
  });
});

describe('bin/run.js in a clone whose sources changed after the build', () => {
  it('reports how to build again, and compares the sources only after Git has written its index', () => {
    const made = repository({
      'package.json': '{"type":"module"}',
      'dist/lib/cli/main.js': 'export const main = () => console.log("ran");',
      'dist/.stamp': 'old',
      'scripts/stamp.js': `export const isBuilt = (root) => {
        console.log('compared');
        return process.env.BUILT === 'yes' && root === process.env.ROOT;
      };`,
      '.git/index': '',
      'bin/here': '',
    });
    copyFileSync(join(root, 'bin/run.js'), join(made, 'bin/run.js'));
    const at = join(realpathSync(made), '/');
    const run = (built = 'no') => {
      const env = { ...process.env, BUILT: built, ROOT: at };
      const { stdout, stderr } = spawnSync(process.execPath, [join(at, 'bin/run.js'), 'doctor'], {
        ...{ env, encoding: 'utf8' },
      });
      return { stdout, stderr };
    };
    const stamp = (name: string, seconds: number) => utimesSync(join(made, name), seconds, seconds);
    stamp('dist/.stamp', 2000);
    stamp('.git/index', 1000);
    expect(run()).toEqual({ stdout: 'ran\n', stderr: '' });
    stamp('.git/index', 3000);
    const warning = `! The build is older than the sources. To update it: npm run build --prefix ${at}\n`;
    expect(run()).toEqual({ stdout: 'compared\nran\n', stderr: warning });
    // A commit of the sources that were built: they are compared once, and not again.
    expect(run('yes')).toEqual({ stdout: 'compared\nran\n', stderr: '' });
    expect(run('yes')).toEqual({ stdout: 'ran\n', stderr: '' });
    // A package has neither Git's index nor the stamp.
    for (const name of ['.git', 'dist/.stamp']) rmSync(join(made, name), { recursive: true });
    expect(run()).toEqual({ stdout: 'ran\n', stderr: '' });
  });
});

describe('the check of installed packages', () => {
  const lock = (packages: Record<string, object>) => JSON.stringify({ lockfileVersion: 3, packages });
  const wanted = {
    '': { name: 'p' },
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/other-system': { version: '1.0.0', optional: true },
  };
  const withLocks = (found?: Record<string, object>) =>
    repository({
      'package-lock.json': lock(wanted),
      ...(found ? { 'node_modules/.package-lock.json': lock(found) } : {}),
    });
  const a = { version: '1.0.0', integrity: 'sha512-a' };

  it.each<[string, Record<string, object> | undefined, boolean]>([
    ['no packages', undefined, false],
    ['the packages that npm ci installs on this system', { 'node_modules/a': a }, true],
    ['an additional package', { 'node_modules/a': a, 'node_modules/b': a }, true],
    ['a different version', { 'node_modules/a': { ...a, version: '0.9.0' } }, false],
    ['different contents of the same version', { 'node_modules/a': { ...a, integrity: 'sha512-b' } }, false],
    ['a missing package', { 'node_modules/other-system': { version: '1.0.0' } }, false],
  ])('compares them with the lock file: %s', (_what, found, fits) => {
    expect(installed(withLocks(found))).toEqual({ fits, foreign: false });
  });

  it('reports a link to another checkout’s packages as foreign', () => {
    const made = withLocks();
    repository({
      'owner/node_modules/.package-lock.json': lock({ 'node_modules/a': { ...a, version: '0.9.0' } }),
    });
    const owner = join(made, 'owner');
    symlinkSync(join(owner, 'node_modules'), join(made, 'node_modules'));
    expect(installed(made)).toEqual({ fits: false, foreign: true });
  });

  it('reports a dangling link as foreign', () => {
    const made = withLocks();
    symlinkSync(join(made, 'gone'), join(made, 'node_modules'));
    expect(installed(made)).toEqual({ fits: false, foreign: true });
  });
});

describe('scripts/ready.js', () => {
  const lock = (packages: Record<string, object>) => JSON.stringify({ lockfileVersion: 3, packages });
  const wanted = lock({ '': { name: 'p' }, 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } });
  const found = lock({ 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } });
  const refusal =
    'node_modules is a link to another folder, which is missing or whose packages differ from package-lock.json.\n' +
    'Remove the link (rm node_modules), then run npm ci here. Nothing was changed.\n';

  /** Creates a fresh clone. Its npm, build and dashboard log that they ran, and leave the same files behind as the real ones. */
  function clone(): string {
    const made = repository({
      'package.json': '{"type":"module"}',
      'package-lock.json': wanted,
      'tsconfig.json': '{}',
      ...Object.fromEntries(sharedWithWeb.map((file) => [`src/lib/${file}`, ''])),
      'web/main.tsx': '',
      'npm.cjs': `const { appendFileSync, mkdirSync, writeFileSync } = require('node:fs');
        appendFileSync('log', 'npm ' + process.argv[2] + '\\n');
        mkdirSync('node_modules', { recursive: true });
        writeFileSync('node_modules/.package-lock.json', ${JSON.stringify(found)});`,
    });
    for (const [name, out, stamp] of [
      ['build', 'dist', 'stampOf'],
      ['web', 'dist/web', 'webStampOf'],
    ])
      writeScript(
        made,
        `${name}.js`,
        `import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
        import { ${stamp} } from './stamp.js';
        appendFileSync('log', '${name}\\n');
        mkdirSync('${out}', { recursive: true });
        writeFileSync('${out}/.stamp', ${stamp}(process.cwd()));`,
      );
    for (const name of ['direct', 'inside', 'vendor', 'zod-in-english']) writeScript(made, `${name}.js`, '');
    for (const name of ['ready', 'installed', 'stamp', 'turn'])
      copyFileSync(join(root, 'scripts', `${name}.js`), join(made, 'scripts', `${name}.js`));
    return made;
  }

  function writeScript(made: string, name: string, text: string): void {
    mkdirSync(join(made, 'scripts'), { recursive: true });
    writeFileSync(join(made, 'scripts', name), text);
  }

  /** The environment with a writable npm cache, and no npm other than the one above. */
  const environment = (made: string) => ({
    ...{ PATH: '', npm_execpath: join(made, 'npm.cjs'), npm_config_cache: join(made, 'cache') },
  });

  /** Runs scripts/ready.js. Returns its exit code, its output, and the programs that it ran. */
  function ready(made: string) {
    rmSync(join(made, 'log'), { force: true });
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(made, 'scripts/ready.js')], {
      ...{ encoding: 'utf8', env: environment(made), timeout: 30_000 },
    });
    return { status, stdout, stderr, ran: ranIn(made) };
  }

  function ranIn(made: string): string[] {
    const log = join(made, 'log');
    return existsSync(log) ? readFileSync(log, 'utf8').split('\n').filter(Boolean) : [];
  }

  /** Creates a clone in the state after `npm ci && npm run build`. */
  function readyClone(): string {
    const made = clone();
    repository({ 'node_modules/.package-lock.json': found });
    for (const name of ['build', 'web'])
      spawnSync(process.execPath, [join(made, 'scripts', `${name}.js`)], { cwd: made });
    return made;
  }
  const nothing = { status: 0, stdout: '', stderr: '', ran: [] };

  it('installs and builds a fresh clone once, and leaves stdout empty', () => {
    const made = clone();
    expect(ready(made)).toEqual({
      ...{ status: 0, stdout: '', ran: ['npm ci', 'build', 'web'] },
      stderr: 'Installing dependencies (once, about a minute) …\nBuilding …\n',
    });
    expect(ready(made)).toEqual(nothing);
  });

  it('does nothing after a manual npm ci and npm run build', () => {
    expect(ready(readyClone())).toEqual(nothing);
  });

  it.each([
    [
      'the lock file, then installs and builds',
      'package-lock.json',
      wanted.replace('sha512-a', 'sha512-b'),
      ['npm ci', 'build', 'web'],
    ],
    ['a source file, then builds', 'src/new.ts', '', ['build']],
    ['a dashboard source file, then builds the dashboard', 'web/new.tsx', '', ['web']],
  ])('detects a change to %s', (_what, file, text, ran) => {
    const made = readyClone();
    repository({ [file]: text });
    expect(ready(made)).toMatchObject({ status: 0, ran });
  });

  it('uses matching packages behind a link without installing or changing anything there', () => {
    const made = clone();
    repository({ 'owner/node_modules/.package-lock.json': found });
    symlinkSync(join(made, 'owner/node_modules'), join(made, 'node_modules'));
    expect(ready(made)).toMatchObject({ status: 0, ran: ['build', 'web'] });
    expect(readdirSync(join(made, 'owner/node_modules'))).toEqual(['.package-lock.json']);
  });

  it.each([
    ['to different packages', found.replaceAll('1.0.0', '0.9.0')],
    ['to a missing folder', undefined],
  ])('rejects a link %s and changes nothing', (_what, packages) => {
    const made = clone();
    if (packages) repository({ 'owner/node_modules/.package-lock.json': packages });
    symlinkSync(join(made, 'owner/node_modules'), join(made, 'node_modules'));
    expect(ready(made)).toEqual({ status: 1, stdout: '', stderr: refusal, ran: [] });
    expect(lstatSync(join(made, 'node_modules')).isSymbolicLink()).toBe(true);
    if (packages) expect(readdirSync(join(made, 'owner/node_modules'))).toEqual(['.package-lock.json']);
  });

  /** Creates a fresh clone whose npm waits for the file `go`, but not forever. */
  function slowClone(): string {
    const made = clone();
    const npm = readFileSync(join(made, 'npm.cjs'), 'utf8');
    repository({
      'npm.cjs': `${npm.replace(
        /(appendFileSync\('log'.*;)/,
        `$1
        for (let i = 0; i < 400 && !require('node:fs').existsSync('go'); i++)
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);`,
      )}`,
    });
    return made;
  }

  it('installs and builds once if two run at the same time', async () => {
    const made = slowClone();
    const first = started([join(made, 'scripts/ready.js')], environment(made));
    await expect.poll(() => ranIn(made)).toEqual(['npm ci']);
    const second = started([join(made, 'scripts/ready.js')], environment(made));
    await second.says(`Waiting for process ${first.pid}, which is installing or building here …\n`);
    writeFileSync(join(made, 'go'), '');
    expect(await first.ended).toBe(0);
    expect(await second.ended).toBe(0);
    expect(ranIn(made)).toEqual(['npm ci', 'build', 'web']);
    expect(readdirSync(join(made, '.build'))).toEqual([]);
  });

  it('waits for the npm of a killed process before it continues', async () => {
    const made = slowClone();
    const first = started([join(made, 'scripts/ready.js')], environment(made));
    await expect.poll(() => ranIn(made)).toEqual(['npm ci']);
    first.kill();
    await first.ended;
    const second = started([join(made, 'scripts/ready.js')], environment(made));
    await second.says('Waiting for process ');
    writeFileSync(join(made, 'go'), '');
    expect(await second.ended).toBe(0);
    expect(ranIn(made)).toEqual(['npm ci', 'build', 'web']);
  });

  it('takes over the lock of a dead process and removes its unfinished build', () => {
    const made = clone();
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    repository({ [`.build/lock/${pid}`]: '', [`.build/build-${pid}/dist/half.js`]: '' });
    expect(ready(made)).toMatchObject({ status: 0, ran: ['npm ci', 'build', 'web'] });
    expect(readdirSync(join(made, '.build'))).toEqual([]);
  });

  it('ignores the lock if there is nothing to do', () => {
    const made = readyClone();
    const other = started(['-e', 'setTimeout(() => {}, 60_000)']);
    repository({ [`.build/lock/${other.pid}`]: '' });
    expect(ready(made)).toEqual(nothing);
    expect(readdirSync(join(made, '.build/lock'))).toEqual([`${other.pid}`]);
  });

  it('gives up waiting after a limit, and reports the process and the lock', () => {
    const made = clone();
    const other = started(['-e', 'setTimeout(() => {}, 60_000)']);
    repository({ [`.build/lock/${other.pid}`]: '' });
    const script = `import { takeTurn } from './scripts/turn.js';
      await takeTurn(process.cwd(), { waitMs: 1000 }).catch(({ message }) => console.log(message));`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      ...{ cwd: made, encoding: 'utf8', timeout: 30_000 },
    });
    expect(stdout).toBe(
      `Process ${other.pid} has been installing or building here for longer than 1 s.\n` +
        `If it hangs, stop it and repeat. If it is not part of aiot, remove ${join(realpathSync(made), '.build/lock')} and repeat.\n`,
    );
  });

  it('reports that npm failed, and builds nothing', () => {
    const made = clone();
    repository({ 'npm.cjs': "console.log('no registry'); process.exit(1);" });
    expect(ready(made)).toEqual({
      ...{ status: 1, stdout: '', ran: [] },
      stderr:
        'Installing dependencies (once, about a minute) …\nno registry\n' +
        'The dependencies could not be installed: see the output of npm above.\n',
    });
  });
});

describe('scripts/build.js', () => {
  const hello =
    "import { Command } from '@oclif/core';\nexport default class Hello extends Command { async run() {} }\n";

  /** Creates a clone with the real build, these commands and our own packages. */
  function clone(commands: Record<string, string>): string {
    const made = repository({
      'package.json': JSON.stringify({
        ...{ name: 'aiot', version: '1.0.0', type: 'module', oclif: { commands: './dist/commands' } },
        dependencies: { '@oclif/core': '*' },
      }),
      'package-lock.json': '{}',
      'tsconfig.json': '{}',
      'src/index.ts': 'export const name = 1;',
      ...Object.fromEntries(Object.entries(commands).map(([path, text]) => [`src/commands/${path}`, text])),
      'scripts/here': '',
    });
    for (const name of ['build', 'inside', 'stamp', 'turn', 'vendor', 'zod-in-english'])
      copyFileSync(join(root, 'scripts', `${name}.js`), join(made, 'scripts', `${name}.js`));
    symlinkSync(join(root, 'node_modules'), join(made, 'node_modules'));
    return made;
  }

  const commandsOf = (made: string) =>
    Object.keys(JSON.parse(readFileSync(join(made, 'oclif.manifest.json'), 'utf8')).commands).sort();

  it('produces a complete build if two run at the same time, and keeps the dashboard', async () => {
    const made = clone({ 'hello.ts': hello, 'talk/index.ts': hello, 'talk/loudly.ts': hello });
    repository({ 'dist/web/index.html': 'page', 'dist/lib/old.js': '' });
    const both = [1, 2].map(() => started([join(made, 'scripts/build.js')]));
    expect(await Promise.all(both.map(({ ended }) => ended))).toEqual([0, 0]);
    expect(commandsOf(made)).toEqual(['hello', 'talk', 'talk:loudly']);
    expect(readdirSync(join(made, 'dist')).sort()).toEqual([
      ...['.modules', '.stamp', 'commands', 'index.js', 'lib', 'vendor', 'web'],
    ]);
    expect(readFileSync(join(made, 'dist/web/index.html'), 'utf8')).toBe('page');
    expect(existsSync(join(made, 'dist/lib/old.js'))).toBe(false);
    expect(readdirSync(join(made, '.build'))).toEqual([]);
  });

  it.each([
    ['no commands', {}, 'The build has 0 of 0 commands'],
    ['a command that does not load', { 'hello.ts': hello, 'bad.ts': "throw new Error('broken');" }, 'broken'],
    [
      'a file without a command',
      { 'hello.ts': hello, 'bad.ts': 'export const a = 1;' },
      'command bad not found',
    ],
  ])('fails on %s, and leaves the previous build unchanged', (_what, commands, said) => {
    const made = clone(commands);
    repository({ 'dist/index.js': 'before', 'dist/.stamp': 'before', 'oclif.manifest.json': 'before' });
    const { status, stderr } = spawnSync(process.execPath, [join(made, 'scripts/build.js')], {
      ...{ encoding: 'utf8', timeout: 60_000 },
    });
    expect(status).toBe(1);
    expect(stderr).toContain(said);
    for (const file of ['dist/index.js', 'dist/.stamp', 'oclif.manifest.json'])
      expect(readFileSync(join(made, file), 'utf8')).toBe('before');
    expect(readdirSync(join(made, '.build'))).toEqual([]);
  });
});

describe('the packages that a file loads', () => {
  it('include static imports of its own files, but neither types nor dynamic imports', () => {
    const made = repository({
      'src/a.ts': "import './b.js';\nimport type { T } from 'typed';\nawait import('later');",
      'src/b.ts': "export { x } from './c.js';",
      'src/c.ts': "import {\n  x,\n} from 'heavy/part';",
    });
    expect([...packagesLoadedBy(made, 'src/a.ts')]).toEqual([
      ['heavy/part', ['src/a.ts', 'src/b.ts', 'src/c.ts']],
    ]);
  });
});

describe('the CI total', () => {
  /** Returns the printed total for these step counts and one or more test rings with these results. */
  function total(results: unknown, steps: [string, string], ...more: unknown[]) {
    const files = [results, ...more].map((ring, at) => {
      const file = join(folder, `ring-${at}.json`);
      writeFileSync(file, JSON.stringify(ring));
      return file;
    });
    const args = [join(root, 'scripts', 'ci', 'total.js'), ...steps, ...files];
    const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return { said: stdout, line: stdout.trimEnd().split('\n').at(-1), status };
  }
  const tests = (...states: string[]) =>
    states.map((status, at) => ({ status, fullName: `test ${at}`, failureMessages: ['Error: not so'] }));

  it('adds tests and steps', () => {
    const results = { testResults: [{ status: 'passed', assertionResults: tests('passed', 'passed') }] };
    expect(total(results, ['5', '0'])).toMatchObject({ line: '7 passed, 0 failed', status: 0 });
  });

  it('counts a file that failed to load as a failure, and reports failed and skipped tests', () => {
    const results = {
      testResults: [
        { name: 'a.test.ts', message: 'no module', status: 'failed', assertionResults: [] },
        { name: 'b.test.ts', status: 'failed', assertionResults: tests('failed', 'passed', 'skipped') },
      ],
    };
    const { said, ...end } = total(results, ['1', '1']);
    expect(end).toEqual({ line: '2 passed, 3 failed, 1 skipped', status: 1 });
    expect(said).toContain('FAILED a.test.ts\n  no module\n');
    expect(said).toContain('FAILED b.test.ts > test 0\n  Error: not so\n');
  });

  it('lists at most 60 failures, with the start of each message', () => {
    const failure = { status: 'failed', fullName: 'one', failureMessages: ['Error: 1\n2\n3'] };
    const of = (count: number) => ({
      testResults: [{ name: 'a.test.ts', status: 'failed', assertionResults: Array(count).fill(failure) }],
    });
    const { said, line } = total(of(70), ['0', '0']);
    expect(line).toBe('0 passed, 70 failed');
    const shown = Array.from({ length: 60 }, () => ['FAILED a.test.ts > one', '  Error: 1', '  2']).flat();
    expect(said.trimEnd().split('\n')).toEqual([...shown, 'FAILED 10 more tests', line]);
    expect(total(of(1), ['0', '0']).said).toContain('  Error: 1\n  2\n  3\n');
  });

  it('fails if no test ran', () => {
    expect(total({ testResults: [] }, ['9', '0']).status).toBe(1);
    expect(total('nonsense', ['9', '0']).status).toBe(1);
  });

  it('adds the test rings, and fails if one of them ran no test', () => {
    const ring = (...states: string[]) => ({
      testResults: [{ status: 'passed', assertionResults: tests(...states) }],
    });
    expect(total(ring('passed'), ['1', '0'], ring('passed', 'skipped'))).toMatchObject({
      line: '3 passed, 0 failed, 1 skipped',
      status: 0,
    });
    expect(total(ring('passed'), ['1', '0'], ring())).toMatchObject({
      line: '2 passed, 0 failed',
      status: 1,
    });
  });
});

describe('a CI step', () => {
  /** Returns the output of these steps when bash runs them with the settings of .ci/run. */
  function run(steps: string) {
    const script = `set -euo pipefail; work=${folder}; source scripts/ci/step.sh\n${steps}\nfailed_steps`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script], {
      ...{ cwd: root, encoding: 'utf8', timeout: 20_000 },
    });
    return (stdout + stderr)
      .replaceAll(/\d+ s$/gm, 'N s')
      .trimEnd()
      .split('\n');
  }

  it('repeats its last lines at the end if it fails, including stderr', () => {
    const said = run(`talk() { seq 20; echo 'no such thing' >&2; return 3; }
      step one true
      step 'the talk' talk
      step three echo fine
      echo "$passed $failed"`);
    expect(said.slice(0, 4)).toEqual(['── one', '── one: passed, N s', '── the talk', '1']);
    const last = Array.from({ length: 11 }, (_, at) => `  ${at + 10}`);
    expect(said.slice(22)).toEqual([
      ...['20', 'no such thing', '── the talk: FAILED, N s', '── three', 'fine', '── three: passed, N s'],
      ...['2 1', 'FAILED the talk', ...last, '  no such thing'],
    ]);
  });

  it('keeps the variables that it sets, and does not wait for background processes', () => {
    const said = run(`set_it() { tarball=here; sleep 15 & left=$!; }
      began=$SECONDS
      step set set_it
      kill "$left"
      echo "$tarball $((SECONDS - began < 12))"`);
    expect(said).toEqual(['── set', '── set: passed, N s', 'here 1']);
  });

  it('can run beside others, and is then printed and counted when it is awaited', () => {
    rmSync(join(folder, 'background'), { recursive: true, force: true });
    const said = run(`bad() { echo 'no such thing' >&2; return 3; }
      beside() { step slow sleep 1; step bad bad; }
      in_background beside
      step quick echo fine
      echo "$passed $failed"
      join_background
      echo "$passed $failed"`);
    expect(said).toEqual([
      ...['── quick', 'fine', '── quick: passed, N s', '1 0'],
      ...['── slow', '── slow: passed, N s', '── bad', 'no such thing', '── bad: FAILED, N s', '2 1'],
      ...['FAILED bad', '  no such thing'],
    ]);
    rmSync(join(folder, 'background'), { recursive: true });
    const killed = run(`beside() { kill -9 "$BASHPID"; }
      in_background beside
      join_background
      echo "$passed $failed"`);
    expect(killed.join()).toMatch(/^(.*,)?0 1,FAILED the steps beside npm test\b/);
  });
});

describe('the terminal picture', () => {
  it('keeps text, bold, dim and colors, and escapes XML markup', () => {
    const svg = terminalSvg('aiot x', [
      '\u001b[1mbold\u001b[22m & <plain>',
      '\u001b[2m\u001b[32mgreen\u001b[39m\u001b[22m',
    ]);
    expect(svg).toContain('<tspan class="b">bold</tspan> &amp; &lt;plain&gt;</text>');
    expect(svg).toContain('<tspan class="d" style="fill:#9ece6a">green</tspan></text>');
  });

  it('wraps lines that are wider than the window', () => {
    expect(terminalSvg('x', ['w'.repeat(250)]).match(/<text x="16"/g)).toHaveLength(3);
  });
});
