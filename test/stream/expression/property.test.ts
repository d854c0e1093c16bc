import { describe, expect, it } from 'vitest';
import { compileExpression, evaluateByLibrary, parse } from '../../../src/lib/stream/decode/expression.js';
import type { Message } from '../../../src/lib/stream/message.js';
import { fc, runs } from '../../support/property.js';

const scalar = fc.oneof(
  fc.integer({ min: -20, max: 20 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom('', 'a', 'x,y', '12', '-1.5e3', '0x1f', ' b  c ', 'ü👍'),
  fc.boolean(),
  fc.constant(null),
);
const payload = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c', '0'), tie('value'), { noNullPrototype: true }),
  ),
})).value;

const literal = fc.oneof(
  fc.integer({ min: -3, max: 90 }).map(String),
  fc.constantFrom('0.5', '2.5', '1e3', '"a"', "'x,y'", '""', 'true', 'false', 'null'),
);
const step = fc.constantFrom('a', 'b', 'c', '`0`', 'a[0]', 'b[-1]', 'c[1]', '"a"');
const path = fc.oneof(
  fc.array(step, { minLength: 1, maxLength: 3 }).map((steps) => steps.join('.')),
  fc.constantFrom(
    '$',
    '$$',
    '$topic',
    '$key',
    '$headers',
    '$headers.unit',
    '$.a',
    '$$.b',
    '$time',
    '$nothing',
    '$qos',
  ),
);
const expression = fc.letrec<Record<'any', string>>((tie) => ({
  any: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    path,
    literal,
    fc
      .tuple(
        tie('any'),
        fc.constantFrom('+', '-', '*', '/', '%', '<', '<=', '>', '>=', '=', '!=', '&', 'in', 'and', 'or'),
        tie('any'),
      )
      .map(([left, operator, right]) => `(${left}) ${operator} (${right})`),
    fc.tuple(tie('any'), tie('any'), tie('any')).map(([a, b, c]) => `(${a}) ? (${b}) : (${c})`),
    tie('any').map((inner) => `-(${inner})`),
    fc
      .tuple(
        fc.constantFrom(
          ...['abs', 'boolean', 'ceil', 'exists', 'floor', 'length', 'lowercase', 'not', 'number', 'round'],
          ...['string', 'trim', 'uppercase', 'count', 'keys', 'fromMillis'],
        ),
        tie('any'),
      )
      .map(([name, inner]) => `$${name}(${inner})`),
    fc
      .tuple(
        fc.constantFrom('contains', 'split', 'substringAfter', 'substringBefore', 'round'),
        tie('any'),
        tie('any'),
        fc.constantFrom('', '[0]', '[1]', '[-1]'),
      )
      .map(([name, first, second, at]) => `$${name}(${first}, ${second})${at}`),
    fc.array(tie('any'), { maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
    fc
      .uniqueArray(fc.tuple(fc.constantFrom('"p"', '"q"', '"1"'), tie('any')), {
        maxLength: 3,
        selector: ([key]) => key,
      })
      .map((pairs) => `{${pairs.map(([key, value]) => `${key}: ${value}`).join(', ')}}`),
  ),
})).any;

const message: Message = {
  topic: 'plant/1',
  payload: new Uint8Array(),
  time: 1_700_000_000_123,
  key: Buffer.from('k1'),
  headers: [
    ['unit', 'C'],
    ['tag', 'one'],
    ['tag', Buffer.from('two')],
  ],
  qos: 1,
  source: 'test:',
};

/** Returns the outcome as text, so that -0, prototypes and the library's marks on arrays make no difference. */
async function outcome(run: () => unknown): Promise<string> {
  try {
    const value = await run();
    return value === undefined ? 'undefined' : `value ${JSON.stringify(value)}`;
  } catch (error) {
    return `error ${(error as Error).message}`;
  }
}

describe('simple expressions', () => {
  it('produce the same results and errors as the library for any message', async () => {
    let simple = 0;
    let all = 0;
    await fc.assert(
      fc.asyncProperty(expression, payload, async (text, value) => {
        let parsed: ReturnType<typeof parse>;
        try {
          parsed = parse(text);
        } catch {
          return; // Invalid expressions, such as a number as a step, are skipped.
        }
        const ours = compileExpression(text);
        all++;
        if (ours.simple) simple++;
        const got = await outcome(() => ours.evaluate(message, () => value));
        const wanted = await outcome(() => evaluateByLibrary(parsed, text, message, value));
        expect(got, text).toBe(wanted);
      }),
      // The default time limit ends a long shrinking phase and reports the failure as it is. The test's own limit
      // allows for slow machines.
      { numRuns: runs(30_000, 600) },
    );
    expect(simple).toBeGreaterThan(all / 3);
  }, 600_000);
});
