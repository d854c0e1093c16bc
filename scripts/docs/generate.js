import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawRooms } from '../rooms.js';
import { commandPages, errorPage } from './pages.js';

const begin = '<!-- rooms: made by npm run docs -->';
const end = '<!-- /rooms -->';

/**
 * All documents that are made from the code.
 * @param {object} input
 * @param {string} input.root
 * @param {import('./commands.js').CommandFile[]} input.commands
 * @param {any} input.catalogue
 * @param {(schema: any) => object} input.toJsonSchema
 * @returns {Map<string, string>} path relative to the root → text
 */
export function generateDocs({ root, commands, catalogue, toJsonSchema }) {
  const { oclif } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const pages = commandPages(commands, oclif.topics);
  for (const { id, command } of commands) {
    if (!command.result) continue;
    const schema = { ...toJsonSchema(command.result), title: `aiot ${id} --json` };
    pages.set(`docs/schemas/${id.replaceAll(' ', '-')}.json`, `${JSON.stringify(schema, null, 2)}\n`);
  }
  pages.set('docs/errors.md', errorPage(catalogue));
  pages.set('ARCHITECTURE.md', withGraph(root));
  return pages;
}

/** ARCHITECTURE.md with the graph of the rooms as it is now. */
function withGraph(root) {
  const path = join(root, 'ARCHITECTURE.md');
  const text = existsSync(path) ? readFileSync(path, 'utf8') : `${begin}\n${end}\n`;
  const [before = '', rest = ''] = text.split(begin);
  const [, after = ''] = rest.split(end);
  return `${before}${begin}\n\n${drawRooms(root)}\n\n${end}${after}`;
}
