// Compiles src/ to dist/ and writes oclif's manifest, without which each start would read every command file. Each source becomes a module
// in dist/.modules, which the tests import; dist/ itself has one file per command and room, and shared chunks. Finding, reading and
// compiling some hundred separate modules took most of the time of a short command.
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Plugin } from '@oclif/core';
import { build } from 'esbuild';
import { stampOf } from './stamp.js';
import { vendor } from './vendor.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

/** The package's entry, every command, every room, and the files that bin/run.js and oclif load by path. */
function entries() {
  const sources = readdirSync('src', { recursive: true }).map(String);
  const wanted = /^(index|commands\/.*|lib\/[^/]+\/index|lib\/cli\/main|lib\/cli\/help)\.ts$/;
  return sources
    .filter((path) => wanted.test(path))
    .map((path) => join('dist/.modules', path.replace(/ts$/, 'js')));
}

const stamp = stampOf(root);
// Types are erased, not checked: `npm run types` checks them, and takes ten times as long.
rmSync('dist/.modules', { recursive: true, force: true });
await build({
  entryPoints: readdirSync('src', { recursive: true })
    .map((path) => join('src', String(path)))
    .filter((path) => path.endsWith('.ts')),
  outdir: 'dist/.modules',
  outbase: 'src',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
});
rmSync('dist/.new', { recursive: true, force: true });
// Zod is bundled as well: each start needs it, and it consists of 94 files. Bundling the other packages had no benefit, or made it slower.
const { dependencies, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const packages = Object.keys({ ...dependencies, ...peerDependencies }).filter((name) => name !== 'zod');
await build({
  entryPoints: entries(),
  outdir: 'dist/.new',
  outbase: 'dist/.modules',
  // At the same depth as the modules, so that paths relative to a module are also valid from here.
  chunkNames: 'lib/shared/[name]-[hash]',
  bundle: true,
  splitting: true,
  external: packages,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  keepNames: true,
  logLevel: 'warning',
});
for (const part of ['commands', 'lib', 'index.js']) {
  rmSync(join('dist', part), { recursive: true, force: true });
  renameSync(join('dist/.new', part), join('dist', part));
}
rmSync('dist/.new', { recursive: true });
vendor(root);
rmSync('oclif.manifest.json', { force: true });
const plugin = new Plugin({ root, type: 'core', ignoreManifest: true, errorOnManifestCreate: true });
await plugin.load();
const { manifest } = plugin;
// The result schemas in oclif's manifest are not used; they were three quarters of the data parsed at each start.
for (const command of Object.values(manifest.commands)) delete command.result;
writeFileSync('oclif.manifest.json', `${JSON.stringify(manifest)}\n`);
writeFileSync('dist/.stamp', stamp);
