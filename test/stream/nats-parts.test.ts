import { headers as makeHeaders } from 'nats';
import { describe, expect, it } from 'vitest';
import type { Header } from '../../src/lib/stream/message.js';
import { deliveryInfo, headersFrom, headersTo } from '../../src/lib/stream/nats/messages.js';
import { checkFilter, checkSubject, matches, natsSettings } from '../../src/lib/stream/nats/settings.js';
import { parseStreamUrl } from '../../src/lib/stream/url.js';
import { fc } from '../support/property.js';

describe('NATS subjects', () => {
  it.each(['a', 'a.b', '*', 'a.*.c', 'a.>', '>', 'iotkit/sensor'])(
    'are accepted for reading: %s',
    (subject) => {
      expect(checkFilter(subject, 'nats://h')).toBe(subject);
    },
  );
  it.each(['a..b', '.a', 'a.', '>.a', 'a b', 'a/#', '#', 'a/+/b'])(
    'are rejected for reading: "%s"',
    (subject) => {
      expect(() => checkFilter(subject, 'nats://h')).toThrow(/expected a subject/);
    },
  );
  it.each(['', 'a.*', 'a.>', '>', 'a..b', 'a b'])('are rejected for writing: "%s"', (subject) => {
    expect(() => checkSubject(subject, 'nats://h')).toThrow(/expected a subject without wildcards/);
  });
  it.each([
    ['a.*', 'a.b', true],
    ['a.*', 'a.b.c', false],
    ['a.*', 'a', false],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['>', 'a', true],
    ['a.b', 'a.b', true],
    ['a.b', 'a.c', false],
    ['*.b.>', 'a.b.c', true],
  ])('match the filter %s to %s: %s', (filter, subject, expected) => {
    expect(matches(filter, subject)).toBe(expected);
  });
});

describe('NATS headers', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => new Uint8Array(bytes)),
  );
  // Names that Kafka, HTTP and MQTT also allow; NATS supports no others.
  const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,20}$/);

  it('survive a round trip, with the values of each name in order', () => {
    const asBytes = (given: string | Uint8Array) => Buffer.from(given as string).toString('hex');
    const byName = (list: readonly Header[]) => {
      const all: Record<string, string[]> = Object.create(null);
      for (const [key, one] of list) all[key] = [...(all[key] ?? []), asBytes(one)];
      return all;
    };
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 6 }), (given: Header[]) => {
        const wire = headersTo(given, makeHeaders) as ReturnType<typeof makeHeaders> & {
          encode(): Uint8Array;
        };
        const decoded = (wire.constructor as unknown as { decode(bytes: Uint8Array): typeof wire }).decode(
          wire.encode(),
        );
        expect(byName(headersFrom(decoded) ?? [])).toEqual(byName(given));
      }),
    );
  });

  it.each([
    ['X', Uint8Array.of(0, 255), 'X;base64', 'AP8='],
    ['X', 'two\nlines', 'X;base64', 'dHdvCmxpbmVz'],
    ['X', ' ends ', 'X;base64', 'IGVuZHMg'],
    ['mit Leer:zeichen', 'v', 'mit%20Leer%3Azeichen', 'v'],
    ['Grüße', 'grün', 'Gr%C3%BC%C3%9Fe', 'grün'],
  ])('send %s: %s as %s: %s', (key, one, wireName, wireValue) => {
    expect([...headersTo([[key, one]], makeHeaders)]).toEqual([[wireName, [wireValue]]]);
  });

  it('are absent if a message has only a status', () => {
    expect(headersFrom(makeHeaders(100, 'Idle Heartbeat'))).toBeUndefined();
  });
});

describe('the delivery info of JetStream', () => {
  // The formats in ADR-15 of NATS.
  it.each([
    ['$JS.ACK.S.C.1.42.7.1636000000123456789.3'],
    ['$JS.ACK._.hash.S.C.1.42.7.1636000000123456789.3.random'],
  ])('is read from %s', (reply) => {
    expect(deliveryInfo(reply)).toEqual({ sequence: 42, delivery: 7, time: 1_636_000_000_123 });
  });
});

describe('the settings of a NATS address', () => {
  const of = (url: string, options = {}) => natsSettings(parseStreamUrl(url), options);

  it('override the options, and accept a sequence, a time or a keyword for from', () => {
    expect(of('nats://h/a.>?stream=S&durable=d&from=12', { stream: 'T', from: 'latest' })).toMatchObject({
      subject: 'a.>',
      stream: 'S',
      durable: 'd',
      from: 12,
    });
    expect(of('nats://h/a?from=2026-11-20T10:00:00Z').from).toEqual({ time: Date.UTC(2026, 10, 20, 10) });
    expect(of('nats://h/a?jetstream=S').stream).toBe('S');
    expect(of('nats://h/a?jetstream=false', { stream: 'T' })).toMatchObject({
      stream: undefined,
      kept: false,
    });
  });

  it.each([
    ['nats://h/a?stream=a.b', /expected a stream name/],
    ['nats://h/a?durable=a%20b', /expected a durable name/],
    ['nats://h/a?qos=1', /qos/],
    ['nats://h/a?window=many', /whole number/],
    ['nats://h/a?from=yesterday', /expected beginning/],
  ])('are rejected in %s', (url, message) => {
    expect(() => of(url)).toThrow(message);
  });
});
