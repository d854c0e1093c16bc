#!/usr/bin/env node
// Runs aiot from its sources: node bin/dev.js COMMAND. A build of the current sources is used if there is one, because it starts ten times
// as fast.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isBuilt } from '../scripts/stamp.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const argv = process.argv.slice(2);
if (isBuilt(root)) {
  const { main } = await import(new URL('../dist/lib/cli/main.js', import.meta.url).href);
  await main(argv, new URL('run.js', import.meta.url).href);
} else {
  const { Plugin } = await import('@oclif/core');
  const { register } = await import('tsx/esm/api');
  register();
  const pjson = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  pjson.oclif.commands = './src/commands';
  pjson.oclif.helpClass = './src/lib/cli/help.ts';
  // If oclif loaded the root plugin itself, it would read the commands from the build's manifest.
  const plugin = new Plugin({ root, pjson, type: 'core', isRoot: true, ignoreManifest: true });
  await plugin.load();
  const { main } = await import('../src/lib/cli/main.ts');
  await main(argv, { root, pjson, plugins: new Map([[plugin.name, plugin]]) });
}
