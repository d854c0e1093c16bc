// Writes firmware/test/fixtures/bundles/*.aiot and firmware/test/answers.inc: small bundles and their predictions for a stream.
import { mkdirSync, writeFileSync } from 'node:fs';
import { register } from 'tsx/esm/api';

register();
const { answerTables, firmwareBundles } = await import('../../test/support/firmware-bundles.ts');
const folder = new URL('../../firmware/test/', import.meta.url);
const made = firmwareBundles();
mkdirSync(new URL('fixtures/bundles/', folder), { recursive: true });
for (const { name, bytes } of made) writeFileSync(new URL(`fixtures/bundles/${name}.aiot`, folder), bytes);
writeFileSync(new URL('answers.inc', folder), answerTables(made));
