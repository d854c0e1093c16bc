// Compiles src/ to dist/ and writes oclif's manifest, without which each start would read every command file. Each source
// becomes a module in dist/.modules, which the tests import; dist/ itself has one file for each command and each room, and the code they share in pieces:
// some hundred modules, each found, read and compiled on its own, were most of what a short command took.
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Plugin } from '@oclif/core';
import { build } from 'esbuild';
import { stampOf } from './stamp.js';
import { vendor } from './vendor.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

/** What programs import, every command, every room, and what bin/run.js and oclif load by path. */
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
// Zod is joined as well: each start needs it, and it comes in 94 files. The other packages gained nothing by it, or lost.
const { dependencies, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const packages = Object.keys({ ...dependencies, ...peerDependencies }).filter((name) => name !== 'zod');
await build({
  entryPoints: entries(),
  outdir: 'dist/.new',
  outbase: 'dist/.modules',
  // As deep as the rooms, so that what is found relative to a module is found from here too.
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
// What oclif makes of the results' schemas, nothing reads; it was three quarters of what each start parsed.
for (const command of Object.values(manifest.commands)) delete command.result;
writeFileSync('oclif.manifest.json', `${JSON.stringify(manifest)}\n`);
writeFileSync('dist/.stamp', stamp);
