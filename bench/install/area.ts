// Cost of an installation: the package, its dependencies, and, in a full run, an installation from the registry. The peer is Node-RED,
// which has the same audience and is in the same registry. Both are installed alternately, into empty folders with empty caches and
// without install scripts.
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Area, Bench } from '../harness/area.js';
import type { Figure } from '../harness/figure.js';
import { root, timed } from '../harness/process.js';

export const area: Area = {
  about: 'cost of an installation',
  cases: {
    package: { run: packed },
    dependencies: { run: dependencies },
    install: { peer: 'Node-RED (full run)', run: (bench) => (bench.quick ? [] : installs(bench)) },
  },
};

/** Size of the package as published by npm. */
function packed(): Figure[] {
  const { stdout } = timed(['npm', 'pack', '--dry-run', '--json', '--ignore-scripts']);
  const [{ size, unpackedSize, entryCount }] = JSON.parse(stdout) as [
    { size: number; unpackedSize: number; entryCount: number },
  ];
  return [
    { name: 'the package, packed', unit: 'MB', ours: size / 1e6, goal: 10, slack: 1 },
    { name: 'the package, unpacked', unit: 'MB', ours: unpackedSize / 1e6, goal: 21, slack: 1 },
    { name: 'the package, files', unit: 'files', ours: entryCount, goal: 2000, slack: 1 },
  ];
}

/** Locked packages that are installed on this machine, without development packages and optional packages for other systems. */
function dependencies(): Figure[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  const there = Object.keys(packages).filter(
    (path) => path !== '' && !packages[path]!.dev && existsSync(join(root, path)),
  );
  const bytes = there.reduce((sum, path) => sum + bytesIn(join(root, path), false), 0);
  return [
    { name: 'dependencies', unit: 'packages', ours: there.length, goal: 350, slack: 1 },
    { name: 'their size', unit: 'MB', ours: bytes / 1e6, goal: 105, slack: 1 },
  ];
}

function installs(bench: Bench): Figure[] {
  const folder = bench.folder();
  timed(['npm', 'pack', '--pack-destination', folder]);
  const tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '');
  const [ours, theirs]: [Installed[], Installed[]] = [[], []];
  for (let round = 0; round < 3; round++) {
    ours.push(install(join(folder, `ours${round}`), tarball, 'aiot'));
    theirs.push(install(join(folder, `theirs${round}`), 'node-red', 'node-red'));
  }
  const figure = (name: string, unit: string, goal: number, of: (one: Installed) => number): Figure => ({
    ...{ name: `npm install, ${name}`, unit, ours: ours.map(of), goal },
    peer: { name: 'Node-RED', version: theirs[0]!.version, rounds: theirs.map(of) },
  });
  return [
    figure('time', 's', 2, ({ seconds }) => seconds),
    figure('size', 'MB', 2, ({ bytes }) => bytes / 1e6),
    figure('packages', 'packages', 2, (one) => one.packages),
  ];
}

interface Installed {
  seconds: number;
  bytes: number;
  packages: number;
  version: string;
}

function install(folder: string, what: string, name: string): Installed {
  mkdirSync(folder);
  const flags = [
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--cache',
    join(folder, 'cache'),
  ];
  const began = performance.now();
  const { status, stderr } = spawnSync('npm', ['install', ...flags, '--prefix', join(folder, 'in'), what], {
    cwd: folder,
    encoding: 'utf8',
  });
  const seconds = (performance.now() - began) / 1000;
  if (status !== 0) throw new Error(`npm install ${what}: ${stderr.slice(-1000)}`);
  const modules = join(folder, 'in', 'node_modules');
  const { packages } = JSON.parse(readFileSync(join(modules, '.package-lock.json'), 'utf8'));
  const { version } = JSON.parse(readFileSync(join(modules, name, 'package.json'), 'utf8'));
  return { seconds, bytes: bytesIn(modules, true), packages: Object.keys(packages).length, version };
}

/** Bytes of the files in a folder. @param nested whether to include nested packages; the lock file also lists them separately */
function bytesIn(folder: string, nested: boolean): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) return sum + lstatSync(path).size;
    return entry.name === 'node_modules' && !nested ? sum : sum + bytesIn(path, nested);
  }, 0);
}
