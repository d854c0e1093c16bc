// Writes the documents that are generated from the code. In docs/reference, these are cli, schemas (including the protocol's), errors.md,
// api.md, mqtt-statements.md and the examples in stream-examples.md. Also writes docs/models.md, the schema of aiot.yaml for editors, and
// the graph in ARCHITECTURE.md.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';
import { z } from 'zod';
import { apiPage } from './docs/api.js';
import { loadCommands } from './docs/commands.js';
import { generateDocs } from './docs/generate.js';
import { mqttStatementsPage } from './docs/mqtt-statements.js';
import { firmwareOperators, modelsPage, readJudged } from './docs/operators.js';

register();
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { accessOf, contract } = await import('../src/lib/api/index.ts');
const { catalogue, projectJsonSchema } = await import('../src/lib/core/index.ts');
const { protocolSchemas: protocol } = await import('../src/lib/device/protocol/schemas.ts');
const { cheatMarkdown } = await import('../src/lib/stream/index.ts');
const { statements } = await import('../test/platform/mqtt-statements/statements.ts');
const { operatorRows } = await import('../src/lib/formats/tflite/operators.ts');
const { hasKernel } = await import('../src/lib/runtime/index.ts');
const { hasC } = await import('../src/lib/model/emit/emit-c.ts');
const commands = await loadCommands(root);
const toJsonSchema = (schema, options) => z.toJSONSchema(schema, options);
const cheatSheets = cheatMarkdown();
const project = projectJsonSchema();
const api = apiPage(contract, accessOf);
const mqttStatements = mqttStatementsPage(statements);
const firmware = firmwareOperators(readFileSync(join(root, 'firmware/core/src/kernels.c'), 'utf8'));
const models = modelsPage({
  operators: Object.keys(operatorRows),
  hasKernel,
  hasC,
  firmware,
  judged: readJudged(join(root, 'test/golden/judged')),
});
const pages = generateDocs({
  ...{ root, commands, catalogue, toJsonSchema, project, protocol },
  ...{ cheatSheets, api, mqttStatements, models },
});

for (const folder of ['docs/reference/cli', 'docs/reference/schemas', 'docs/reference/schemas/protocol']) {
  mkdirSync(join(root, folder), { recursive: true });
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    if (entry.isFile() && !pages.has(`${folder}/${entry.name}`)) rmSync(join(root, folder, entry.name));
  }
}
for (const [path, text] of pages) writeFileSync(join(root, path), text);
console.error(`${pages.size} documents written.`);
