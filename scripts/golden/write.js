// Writes firmware/test/write.inc: numbers as written by JavaScript, which the firmware's writer must match.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';

const edges = [
  ...[0, -0, 1, -1, 0.1, 0.2, 0.30000000000000004, 1e20, 1e21, 123456789012345680000, 1e22, 1e23, 8.5e22],
  ...[1e-6, 1e-7, 1.5e-7, 0.000001234, 5e-324, 2.2250738585072014e-308, 2.225073858507201e-308],
  ...[1.7976931348623157e308, 2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, 2 ** 63, 2 ** 64, 4.35, 0.5, 1 / 3, 2 / 3],
  ...[1.0000000000000002, 0.9999999999999999, 9.999999999999999e22, 4.5e15, 2251799813685248.5],
];

/**
 * The table as C text.
 * @param {() => number} random in [0, 1)
 */
export function writeTable(random) {
  const integer = (n) => Math.floor(random() * n);
  const values = [...edges];
  for (let i = 0; i < 400; i++) {
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, integer(2 ** 32));
    view.setUint32(4, integer(2 ** 32));
    if (Number.isFinite(view.getFloat64(0))) values.push(view.getFloat64(0));
  }
  for (let i = 0; i < 400; i++) values.push(random() * 10 ** integer(18), Math.fround(random() * 4 - 2));
  for (let i = 0; i < 300; i++) values.push(integer(10 ** integer(16)) / 10 ** integer(12));
  for (let i = -1074; i < 1024; i += 13) values.push(2 ** i, -(2 ** i) * (1 + 2 ** -52));
  const rows = values.map((value) => `    {${bits(value)}, "${JSON.stringify(value)}"},`);
  return `/* Made by npm run golden; do not edit. */
/* clang-format off */

static const number_row number_rows[] = {
${rows.join('\n')}
};
`;
}

function bits(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return `0x${view.getBigUint64(0).toString(16).padStart(16, '0')}u`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  register();
  const { seededRandom } = await import('../../src/lib/core/index.ts');
  writeFileSync(new URL('../../firmware/test/write.inc', import.meta.url), writeTable(seededRandom(10)));
}
