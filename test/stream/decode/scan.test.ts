import { describe, expect, it } from 'vitest';
import { fieldScanner } from '../../../src/lib/stream/tail/payloads.js';
import { fc, runs } from '../../support/property.js';

const names = ['a', 'temperature', 'none'];
const scan = fieldScanner(names)!;
const scanned = (text: string | Buffer) => {
  const bytes = Buffer.concat([Buffer.from('xx'), Buffer.from(text), Buffer.from('}yy')]);
  return scan(bytes, 2, bytes.length - 3);
};

/** The fields as read by the full parser. @throws SyntaxError */
function parsed(text: string): object {
  const whole = JSON.parse(text) as Record<string, unknown>;
  return Object.fromEntries(
    names.flatMap((name) => (Object.hasOwn(whole, name) ? [[name, whole[name]]] : [])),
  );
}

describe('fields scanned from JSON text', () => {
  it.each([
    ['{"deviceID": "1348338000000001", "temperature": 20.61, "fft_data": "true"}', { temperature: 20.61 }],
    ['{"temperature":-0,"a":"x y"}\0', { temperature: -0, a: 'x y' }],
    [' {}', undefined],
    ['{ }', {}],
    ['{"a":1 , "a" : null}\n', { a: null }],
    ['{"a":true,"temperature":false}', { a: true, temperature: false }],
    // Invalid JSON, or JSON that the scanner does not support, is left to the full parser.
    ...[
      ...[
        '{"a":1',
        '{"a":1}}',
        '{"a":01}',
        '{"a":1.}',
        '{"a":.5}',
        '{"a":-}',
        '{"a":1,}',
        '{a:1}',
        '{"a" 1}',
      ],
      ...[
        '{"a":tru}',
        '{"a":nulll}',
        '[1]',
        '',
        '{',
        '{"a":"',
        '{"a":"x\ny"}',
        '{"a":',
        '{"a"',
        '{"a":1 "b":2}',
      ],
      ...['{"a":1e3}', '{"a":{}}', '{"a":"\\n"}', '{"a":"é"}', '{"b":[1]}', '{"a":1234567890123456}'],
    ].map((text): [string, unknown] => [text, undefined]),
  ] as [string, unknown][])('are read from %j, or left to the full parser', (text, fields) => {
    expect(scanned(text)).toEqual(fields);
  });

  it('match JSON.parse, or are left to it', () => {
    const scalar = fc.oneof(fc.double(), fc.integer(), fc.boolean(), fc.constant(null), fc.string());
    const two = fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((value) => Number(value.toFixed(2)));
    const object = fc.dictionary(fc.constantFrom('a', 'temperature', 'b', 'c d'), fc.oneof(two, scalar));
    let read = 0;
    fc.assert(
      fc.property(object, fc.nat(3), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        const fields = scanned(text);
        if (fields === undefined) return;
        read++;
        expect(fields).toEqual(parsed(text));
      }),
      { numRuns: runs(1000, 1000) },
    );
    expect(read).toBeGreaterThan(100);
  });

  it('are never read from text that JSON.parse rejects', () => {
    const text = '{"a": -12.50, "temperature":true,"b":"x", "none":null}';
    const mutation = fc.record({ at: fc.nat(text.length), cut: fc.nat(2), put: fc.string({ maxLength: 2 }) });
    fc.assert(
      fc.property(mutation, ({ at, cut, put }) => {
        const changed = text.slice(0, at) + put + text.slice(at + cut);
        const fields = scanned(changed);
        if (fields !== undefined) expect(fields).toEqual(parsed(changed));
      }),
      { numRuns: runs(2000) },
    );
  });

  it('are not scanned if JSON can represent their name in several ways', () => {
    for (const name of ['é', 'a"b', 'a\\b', '__proto__']) expect(fieldScanner([name])).toBeUndefined();
  });
});
