// Writes firmware/test/golden.inc: results of the TypeScript implementation, which the C code must reproduce.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';

/**
 * The tables as C text.
 * @param {object} lib
 * @param {typeof import('../src/lib/runtime/interpreter/fixed-point.js')} lib.fixed
 * @param {typeof import('../src/lib/signal/index.js').quantizeInput} lib.quantizeInput
 * @param {() => number} lib.random in [0, 1)
 */
export function goldenTables({ fixed, quantizeInput, random }) {
  const int32 = () => Math.floor(random() * 2 ** 32) - 2 ** 31;
  const small = (bits) => Math.floor((random() - 0.5) * 2 ** bits);
  const times = (n, make) => Array.from({ length: n }, (_, i) => make(i));
  const edges = [0, 1, -1, 2, -2, 3, -3, 2 ** 30, -(2 ** 30), 2 ** 31 - 1, -(2 ** 31), 12345, -12345];
  const pairs = [...edges.flatMap((a) => edges.map((b) => [a, b])), ...times(400, () => [int32(), int32()])];
  const shifts = [...edges, ...times(60, int32)].flatMap((x) => [0, 1, 2, 7, 15, 30, 31].map((e) => [x, e]));
  const multiplied = times(400, () => {
    const [multiplier, shift] = [2 ** 30 + Math.floor(random() * 2 ** 30), Math.floor(random() * 40) - 31];
    return [small(31 - Math.max(0, shift)), multiplier, shift];
  });
  const inputs = times(200, (i) => {
    const [mean, deviation, scale] = [random() * 20 - 10, random() * 3 + 0.01, random() * 0.1 + 0.001];
    const zeroPoint = Math.floor(random() * 256) - 128;
    // Every fourth value is a half, where rounding matters.
    const steps = i % 4 === 0 ? small(8) + 0.5 : small(10) * random();
    return [mean + steps * scale * deviation, mean, deviation, scale, zeroPoint];
  });
  const rows = {
    'binary_row high_multiply_rows': pairs.map(([a, b]) => [a, b, fixed.doublingHighMultiply(a, b)]),
    'shift_row shift_right_rows': shifts.map(([x, e]) => [x, e, fixed.roundingShiftRight(x, e)]),
    'shift_row shift_left_rows': shifts.map(([x, e]) => [x, e, fixed.saturatingShiftLeft(x, e)]),
    'multiply_row multiply_rows': multiplied.map(([x, m, n]) => [
      x,
      m,
      n,
      fixed.multiplyByQuantized(x, m, n),
    ]),
    'input_row input_rows': inputs.map(([feature, mean, deviation, scale, zeroPoint]) => {
      const spec = { mean: [mean], deviation: [deviation] };
      const [q] = quantizeInput([feature], spec, { scale, zeroPoint });
      return [...[feature, mean, deviation, scale].map(double), zeroPoint, q];
    }),
  };
  const tables = Object.entries(rows).map(
    ([name, list]) =>
      `static const ${name}[] = {\n${list.map((row) => `    {${row.map(literal).join(', ')}},`).join('\n')}\n};`,
  );
  return `/* Made by npm run golden; do not edit. */\n/* clang-format off */\n\n${tables.join('\n\n')}\n`;
}

/** The shortest decimal that reads back as the same double. */
function double(value) {
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** In C, -2147483648 is the negation of a number that does not fit int32. */
function literal(value) {
  if (Object.is(value, -0)) return '0';
  return value === -(2 ** 31) ? 'INT32_MIN' : String(value);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  register();
  const fixed = await import('../src/lib/runtime/interpreter/fixed-point.js');
  const { quantizeInput } = await import('../src/lib/signal/index.ts');
  const { seededRandom } = await import('../src/lib/core/index.ts');
  const text = goldenTables({ fixed, quantizeInput, random: seededRandom(7) });
  writeFileSync(new URL('../firmware/test/golden.inc', import.meta.url), text);
}
