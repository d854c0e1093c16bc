import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { must } from './tools.js';

/** Version of the bundled Node: the same release as in the container image (Dockerfile). */
export const nodeVersion = '22.20.0';

/** Integrity hashes of these packages in npm's registry; a different package with the same name and version is rejected. */
const nodeIntegrity = {
  x64: 'sha512-CWyKqAkT1fUBr1IDD/JhDAYpUrBraNmSM9ndREbhAp14QmgBqq8CmgWHITSK1YXzJj+hWTEC1+F6gOgVFLIaSg==',
  arm64: 'sha512-eVexvODYds5ya11f+1D0r33WVf6BGvoSvofyVYQFMFMytblCCwlgJStpOb4IdomSnfVQWLAt0tNgYE5iXxSRuA==',
};

const launcher = `#!/bin/sh
# Starts aiot with the bundled Node. Links to this file may be anywhere.
self=$0
while [ -L "$self" ]; do
  target=$(readlink "$self")
  case $target in
  /*) self=$target ;;
  *) self=$(dirname "$self")/$target ;;
  esac
done
home=$(CDPATH='' cd -- "$(dirname -- "$self")/.." && pwd -P)
exec "$home/lib/aiot/node" "$home/lib/aiot/bin/run.js" "$@"
`;

/**
 * Assembles a package: bin/aiot, lib/aiot with Node and the dependencies for that processor, and share with manual pages and completions.
 * @param {{packed: string, arch: string, work: string}} input packed: the tarball of npm pack
 */
export function stage({ packed, arch, work }) {
  const root = join(work, 'root');
  const app = join(root, 'lib', 'aiot');
  mkdirSync(app, { recursive: true });
  must('tar', ['-xzf', resolve(packed), '-C', app, '--strip-components=1']);
  const { version } = JSON.parse(readFileSync(join(app, 'package.json'), 'utf8'));
  copyFileSync(join(app, 'dist', 'package-lock.json'), join(app, 'package-lock.json'));
  must('npm', [
    ...['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--silent', '--prefix', app],
    ...['--os=linux', `--cpu=${arch}`, '--libc=glibc'],
  ]);
  prune(join(app, 'node_modules'), arch);
  startedByNode(join(app, 'bin', 'run.js'));
  fetchNode({ arch, work, app });
  const program = join(root, 'bin', 'aiot');
  mkdirSync(dirname(program));
  writeFileSync(program, launcher);
  chmodSync(program, 0o755);
  share({ root, app });
  return { version, root, ...measure(root) };
}

/** Fetches Node's binary and license. Its headers and documentation are not needed to run aiot. */
function fetchNode({ arch, work, app }) {
  const name = `node-linux-${arch}`;
  const folder = join(work, 'node');
  mkdirSync(folder);
  must('npm', [
    ...['pack', '--silent', '--ignore-scripts', '--pack-destination', folder],
    `${name}@${nodeVersion}`,
  ]);
  const packed = join(folder, `${name}-${nodeVersion}.tgz`);
  const integrity = `sha512-${createHash('sha512').update(readFileSync(packed)).digest('base64')}`;
  if (integrity !== nodeIntegrity[arch]) throw new Error(`${packed}: ${integrity}`);
  must('tar', ['-xzf', packed, '-C', folder, '--strip-components=1']);
  copyFileSync(join(folder, 'bin', 'node'), join(app, 'node'));
  chmodSync(join(app, 'node'), 0o755);
  copyFileSync(join(folder, 'LICENSE'), join(app, 'node.LICENSE'));
}

/** Removes a program's `#!` line, which would start the Node on the PATH instead of the package's own. */
function startedByNode(path) {
  writeFileSync(path, readFileSync(path, 'utf8').replace(/^#!.*\n/, ''));
  chmodSync(path, 0o644);
}

/**
 * Removes files that are not needed to run aiot: source maps, type declarations, and native parts for other systems, which npm omits only
 * if a package declares its C library.
 */
function prune(folder, arch) {
  const drop = (path) => rmSync(path, { recursive: true, force: true });
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    if (entry.isFile() && /\.(map|d\.[cm]?ts|musl\.node)$/.test(entry.name)) drop(path);
    if (entry.isDirectory() && /^linux-\w+-musl$/.test(entry.name)) drop(path);
    if (entry.isDirectory() && entry.name === 'prebuilds') {
      for (const name of readdirSync(path)) if (name !== `linux-${arch}`) drop(join(path, name));
    }
  }
}

/** Writes manual pages and shell completions. They are the same for each processor, so this machine's Node can write them. */
function share({ root, app }) {
  const man = join(root, 'share', 'man', 'man1');
  mkdirSync(dirname(man), { recursive: true });
  renameSync(join(app, 'dist', 'man'), man);
  const homes = {
    bash: 'share/bash-completion/completions/aiot',
    zsh: 'share/zsh/vendor-completions/_aiot',
    fish: 'share/fish/vendor_completions.d/aiot.fish',
  };
  for (const [shell, path] of Object.entries(homes)) {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(app, 'bin/run.js'), 'completion', shell],
      {
        encoding: 'utf8',
      },
    );
    if (status !== 0) throw new Error(stderr);
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), stdout);
  }
  for (const name of ['LICENSE', 'README.md']) cpSync(join(app, name), join(root, name));
}

function measure(root) {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const sizes = entries.map((entry) => statSync(join(entry.parentPath ?? entry.path, entry.name)).size);
  return { files: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}
