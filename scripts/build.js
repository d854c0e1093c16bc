// Compiles src/ to dist/ and writes oclif's manifest, without which each start would read every command file.
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Plugin } from '@oclif/core';
import { stampOf } from './stamp.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

// A file whose source is gone would live on as a command or an import that works here only.
function removeOrphans(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) removeOrphans(path);
    else if (!entry.name.startsWith('.') && !sources.has(sourceOf(path))) rmSync(path);
  }
}

function sourceOf(compiled) {
  return join('src', compiled.slice('dist/'.length).replace(/\.js$/, '.ts'));
}

const sources = new Set(readdirSync('src', { recursive: true }).map((path) => join('src', String(path))));
const stamp = stampOf(root);
const tsc = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  stdio: ['ignore', 2, 2],
});
if (tsc.status !== 0) {
  process.stderr.write('The sources do not compile: nothing was built.\n');
  process.exit(1);
}
removeOrphans('dist');
rmSync('oclif.manifest.json', { force: true });
const plugin = new Plugin({ root, type: 'core', ignoreManifest: true, errorOnManifestCreate: true });
await plugin.load();
writeFileSync('oclif.manifest.json', `${JSON.stringify(plugin.manifest)}\n`);
writeFileSync('dist/.stamp', stamp);
