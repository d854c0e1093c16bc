// Writes the documents generated from the code: docs/reference/cli, docs/reference/schemas (including the protocol's),
// docs/reference/errors.md, docs/reference/api.md, docs/reference/mqtt-statements.md, the schema of aiot.yaml for editors, the graph in ARCHITECTURE.md, and the examples in
// docs/reference/stream-examples.md.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';
import { z } from 'zod';
import { apiPage } from './docs/api.js';
import { loadCommands } from './docs/commands.js';
import { generateDocs } from './docs/generate.js';
import { mqttStatementsPage } from './docs/mqtt-statements.js';

register();
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { accessOf, contract } = await import('../src/lib/api/index.ts');
const { catalogue, projectJsonSchema } = await import('../src/lib/core/index.ts');
const { protocolSchemas: protocol } = await import('../src/lib/device/protocol/schemas.ts');
const { cheatMarkdown } = await import('../src/lib/stream/index.ts');
const { statements } = await import('../test/platform/mqtt-statements/statements.ts');
const commands = await loadCommands(root);
const toJsonSchema = (schema, options) => z.toJSONSchema(schema, options);
const cheatSheets = cheatMarkdown();
const project = projectJsonSchema();
const api = apiPage(contract, accessOf);
const mqttStatements = mqttStatementsPage(statements);
const pages = generateDocs({
  ...{ root, commands, catalogue, toJsonSchema, project, protocol },
  ...{ cheatSheets, api, mqttStatements },
});

for (const folder of ['docs/reference/cli', 'docs/reference/schemas', 'docs/reference/schemas/protocol']) {
  mkdirSync(join(root, folder), { recursive: true });
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    if (entry.isFile() && !pages.has(`${folder}/${entry.name}`)) rmSync(join(root, folder, entry.name));
  }
}
for (const [path, text] of pages) writeFileSync(join(root, path), text);
console.error(`${pages.size} documents written.`);
