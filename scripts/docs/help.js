// Prints the help of every command, as one JSON object: {"": front page, "device": topic, "device list": command …}.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Config, Plugin } from '@oclif/core';
import { register } from 'tsx/esm/api';

register();
const root = fileURLToPath(new URL('../..', import.meta.url));
const pjson = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
pjson.oclif.commands = './src/commands';

const loaded = new Plugin({ root, pjson, type: 'core', isRoot: true, ignoreManifest: true });
await loaded.load();

/**
 * Copies of the commands, which are loaded only once. Each page needs its own, because oclif's help modifies its input (ids, and the flag
 * names of the page's command).
 */
function copyOfPlugin(id) {
  const commands = loaded.commands.map((command) => (command.id === id ? copyOf(command) : { ...command }));
  return Object.assign(Object.create(Plugin.prototype), loaded, { commands });
}

function copyOf(value) {
  if (Array.isArray(value)) return value.map(copyOf);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, copyOf(part)]));
}

async function helpFor(words) {
  const plugin = copyOfPlugin(words.join(':'));
  const config = await Config.load({ root, pjson, plugins: new Map([[plugin.name, plugin]]) });
  const { default: Help } = await import('../../src/lib/cli/help.ts');
  const help = new Help(config, { maxWidth: 80, stripAnsi: true });
  const lines = [];
  help.log = (...parts) => lines.push(...parts);
  await help.showHelp(words);
  return { text: `${lines.join('\n').trimEnd()}\n`, config };
}

const { text: front, config } = await helpFor([]);
const pages = { '': front };
const topics = config.commandIDs.filter((id) => id.includes(':')).map((id) => id.split(':')[0]);
const names = [...new Set([...topics, ...config.commandIDs.map((id) => id.replaceAll(':', ' '))])].sort();
for (const name of names) pages[name] = (await helpFor(name.split(' '))).text;
process.stdout.write(JSON.stringify(pages));
