#!/usr/bin/env node
// Runs the sources without a build: node bin/dev.js COMMAND
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Plugin } from '@oclif/core';
import { register } from 'tsx/esm/api';

register();
const root = fileURLToPath(new URL('..', import.meta.url));
const pjson = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
pjson.oclif.commands = './src/commands';
pjson.oclif.helpClass = './src/lib/cli/help/index.ts';
// A root plugin that oclif loads itself would take the commands from the build's manifest.
const plugin = new Plugin({ root, pjson, type: 'core', isRoot: true, ignoreManifest: true });
await plugin.load();
const { main } = await import('../src/lib/cli/main.ts');
await main(process.argv.slice(2), { root, pjson, plugins: new Map([[plugin.name, plugin]]) });
