import { headers as natsHeaders } from 'nats';
import { describe, expect, it } from 'vitest';
import { marked, unmarked } from '../../src/lib/stream/headers.js';
import type { Header } from '../../src/lib/stream/message.js';
import { decodeProperties, encodeProperties } from '../../src/lib/stream/mqtt/packets.js';
import { headersFrom, headersTo } from '../../src/lib/stream/nats/messages.js';
import { fc } from '../support/property.js';

const noNul = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !text.includes('\0'));
const suspicious = fc.constantFrom(
  'a b',
  'Gerät',
  'a%20b',
  'a%41',
  '%',
  '%25',
  '',
  'x;base64',
  'x;base64;base64',
  'a:b',
);
const name = fc.oneof(noNul, suspicious);
const value = fc.oneof(
  noNul,
  fc.constantFrom('aGk=', '/wA=', 'two\nlines', ' ends ', ''),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => new Uint8Array(bytes)),
);
const headers = fc.array(fc.tuple(name, value), { maxLength: 5 });

/** The values by name, as bytes, because a text and its UTF-8 are the same value. */
const byName = (list: readonly Header[] = []) => {
  const all = new Map<string, string[]>();
  for (const [key, one] of list)
    all.set(key, [...(all.get(key) ?? []), Buffer.from(one as string).toString('hex')]);
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1));
};
const overMqtt = (given: readonly Header[]) => {
  const bytes = encodeProperties(given);
  return decodeProperties(bytes, 0, bytes.length);
};
const overNats = (given: readonly Header[]) => headersFrom(headersTo(given, natsHeaders)) ?? [];

describe('headers', () => {
  it('survive the path from MQTT through NATS back to MQTT', () => {
    fc.assert(
      fc.property(headers, (given) => {
        expect(byName(overMqtt(given))).toEqual(byName(given));
        expect(byName(overNats(given))).toEqual(byName(given));
        expect(byName(overMqtt(overNats(overMqtt(given))))).toEqual(byName(given));
      }),
    );
  });

  it('keep the order of text and bytes under one name, next to a name that looks marked', () => {
    const given: Header[] = [
      ['x', 'first'],
      ['x', Buffer.from([255])],
      ['x', 'last'],
      ['x;base64', 'aGk='],
    ];
    expect(byName(overMqtt(given))).toEqual(byName(given));
    expect(byName(overNats(given))).toEqual(byName(given));
  });

  it('of other NATS clients pass unchanged from NATS to NATS', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[!-9;-~]{1,12}$/), noNul, (key, text) => {
        const line = text.replaceAll(/[\r\n]/g, '').trim();
        const given = natsHeaders();
        given.append(key, line);
        expect([...headersTo(headersFrom(given) ?? [], natsHeaders)]).toEqual([[key, [line]]]);
      }),
    );
  });

  it.each([
    ['a%20b', 'a b'],
    ['a%2520b', 'a%20b'],
    ['a%41', 'a%41'],
    ['%', ''],
  ])('have the NATS name %s for "%s"', (wire, own) => {
    expect([...headersTo([[own, 'v']], natsHeaders)]).toEqual([[wire, ['v']]]);
    expect(overNats([[own, 'v']])).toEqual([[own, 'v']]);
  });

  it('with a marked name are bytes only if their value had to be marked', () => {
    const fits = (text: string) => !text.includes('\0');
    const read = (...texts: string[]) => unmarked(['x;base64', texts], fits);
    expect(read('/wA=')).toEqual(['x', [Buffer.from([255, 0])]]);
    expect(read('aGk=')).toEqual(['x;base64', ['aGk=']]);
    expect(read('not base64')).toEqual(['x;base64', ['not base64']]);
    expect(marked(['x;base64', ['/wA=']], fits)).toEqual(['x;base64;base64', ['L3dBPQ==']]);
  });
});
