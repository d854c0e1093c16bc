// Writes the documents that are made from the code: docs/cli, docs/schemas (those of the protocol too), docs/errors.md, the schema of
// aiot.yaml for editors, the graph in ARCHITECTURE.md, the cheat sheets in docs/streams.md.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';
import { z } from 'zod';
import { loadCommands } from './docs/commands.js';
import { generateDocs } from './docs/generate.js';

register();
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { catalogue, projectJsonSchema } = await import('../src/lib/core/index.ts');
const { protocolSchemas: protocol } = await import('../src/lib/device/index.ts');
const { cheatMarkdown } = await import('../src/lib/stream/index.ts');
const commands = await loadCommands(root);
const toJsonSchema = (schema, options) => z.toJSONSchema(schema, options);
const cheatSheets = cheatMarkdown();
const project = projectJsonSchema();
const pages = generateDocs({ root, commands, catalogue, toJsonSchema, project, protocol, cheatSheets });

for (const folder of ['docs/cli', 'docs/schemas', 'docs/schemas/protocol']) {
  mkdirSync(join(root, folder), { recursive: true });
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    if (entry.isFile() && !pages.has(`${folder}/${entry.name}`)) rmSync(join(root, folder, entry.name));
  }
}
for (const [path, text] of pages) writeFileSync(join(root, path), text);
console.error(`${pages.size} documents written.`);
