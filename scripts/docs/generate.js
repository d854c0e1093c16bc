import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawModules } from '../modules.js';
import { commandPages, errorPage } from './pages.js';
import { projectSchemaText } from './project-schema.js';

/**
 * All documents generated from the code.
 * @param {object} input
 * @param {string} input.root
 * @param {import('./commands.js').CommandFile[]} input.commands
 * @param {any} input.catalogue
 * @param {(schema: any, options?: { io: 'input' }) => object} input.toJsonSchema
 * @param {object} input.project JSON schema of aiot.yaml, draft 7
 * @param {Record<string, any>} input.protocol schemas of docs/reference/protocol.md, by the word of its examples
 * @param {string} input.cheatSheets Markdown
 * @param {string} input.api docs/reference/api.md
 * @param {string} input.mqttStatements docs/reference/mqtt-statements.md
 * @param {string} input.models docs/models.md
 * @returns {Map<string, string>} path relative to the root → text
 */
export function generateDocs({
  root,
  commands,
  catalogue,
  toJsonSchema,
  project,
  protocol,
  cheatSheets,
  api,
  mqttStatements,
  models,
}) {
  const { oclif } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const pages = commandPages(commands, oclif.topics);
  for (const { id, command } of commands) {
    if (!command.result) continue;
    const schema = { ...toJsonSchema(command.result), title: `aiot ${id} --json` };
    pages.set(
      `docs/reference/schemas/${id.replaceAll(' ', '-')}.json`,
      `${JSON.stringify(schema, null, 2)}\n`,
    );
  }
  for (const [name, message] of Object.entries(protocol)) {
    // The schema is for senders, which may omit fields that have a default.
    const schema = { ...toJsonSchema(message, { io: 'input' }), title: `aiot protocol v1: ${name}` };
    pages.set(`docs/reference/schemas/protocol/${name}.json`, `${JSON.stringify(schema, null, 2)}\n`);
  }
  const page = readFileSync(join(root, 'docs/reference/project.md'), 'utf8');
  pages.set('templates/aiot.schema.json', projectSchemaText({ schema: project, page }));
  pages.set('docs/reference/errors.md', errorPage(catalogue));
  pages.set('docs/reference/api.md', api);
  pages.set('docs/reference/mqtt-statements.md', mqttStatements);
  pages.set('docs/models.md', models);
  pages.set('ARCHITECTURE.md', withPart(root, 'ARCHITECTURE.md', 'modules', drawModules(root)));
  pages.set(
    'docs/reference/stream-examples.md',
    withPart(root, 'docs/reference/stream-examples.md', 'stream examples', cheatSheets),
  );
  return pages;
}

/** Replaces the generated part between two marks in a document. */
function withPart(root, file, name, part) {
  const begin = `<!-- ${name}: made by npm run docs -->`;
  const end = `<!-- /${name} -->`;
  const path = join(root, file);
  const text = existsSync(path) ? readFileSync(path, 'utf8') : `${begin}\n${end}\n`;
  const [before = '', rest = ''] = text.split(begin);
  const [, after = ''] = rest.split(end);
  return `${before}${begin}\n\n${part}\n\n${end}${after}`;
}
