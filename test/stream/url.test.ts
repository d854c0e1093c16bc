import { describe, expect, it } from 'vitest';
import { printable, printablePayload } from '../../src/lib/core/text.js';
import { openSink, openSource } from '../../src/lib/stream/open.js';
import { parseStreamUrl } from '../../src/lib/stream/url.js';

describe('a stream URL', () => {
  it.each([
    ['mqtt://127.0.0.1:1883', 'mqtt://127.0.0.1:1883', ''],
    ['mqtt://127.0.0.1:1883/', 'mqtt://127.0.0.1:1883', ''],
    ['mqtt://host/a/b/#', 'mqtt://host', 'a/b/#'],
    ['MQTTS://host:1/+/x', 'mqtts://host:1', '+/x'],
    ['mqtt://user:p%40ss@host:1/t', 'mqtt://host:1', 't'],
    ['mqtt://host//leading', 'mqtt://host', '/leading'],
    ['mqtt://[::1]:1883/t', 'mqtt://[::1]:1883', 't'],
    ['aiot:///a/#', 'aiot://', 'a/#'],
    ['file:///tmp/x.ndjson', 'file:', '/tmp/x.ndjson'],
    ['file://x.csv', 'file:', 'x.csv'],
    ['serial:///dev/ttyUSB0?baud=9600', 'serial:', '/dev/ttyUSB0'],
    ['nats://host/subject.>', 'nats://host', 'subject.>'],
    ['nats://host?durable=a', 'nats://host', ''],
    ['kafka://a:9092,b:9092/topic', 'kafka://a:9092,b:9092', 'topic'],
    ['s3://bucket/faces/face{n}.png', 's3://bucket', 'faces/face{n}.png'],
    ['https://host/a%20b?x=1', 'https://host', 'a%20b?x=1'],
    ['https://host/a?x=1#parallel=4', 'https://host', 'a?x=1'],
    ['http://host:1?x=1/2#method=PUT', 'http://host:1', '?x=1/2'],
    ['s3://bucket?endpoint=http://127.0.0.1:9000', 's3://bucket', ''],
    ['tcp://host:1?replyTo=mqtt://b/t', 'tcp://host:1', ''],
    ['mqtt://host/a%3Fb', 'mqtt://host', 'a?b'],
    ['stdin:', 'stdin:', ''],
  ])('%s has the endpoint %s and the path "%s"', (url, endpoint, path) => {
    expect(parseStreamUrl(url)).toMatchObject({ endpoint, path });
  });

  it('separates the settings after the ?', () => {
    expect(parseStreamUrl('mqtt://host/t/#?qos=1&clientId=a%26b&clean').query).toEqual({
      qos: '1',
      clientId: 'a&b',
      clean: 'true',
    });
  });

  it('separates and decodes credentials', () => {
    const { username, password } = parseStreamUrl('mqtts://ann:a%3Ab:c@host/t');
    expect({ username, password }).toEqual({ username: 'ann', password: 'a:b:c' });
  });

  it.each([
    ['ftp://host/x', 'AIOT_STREAM_SCHEME'],
    ['constructor://host/x', 'AIOT_STREAM_SCHEME'],
    ['no-scheme', 'AIOT_STREAM_URL'],
    ['mqtt://secret:word@/t', 'AIOT_STREAM_URL'],
    ['mqtt://ann:secret@ho st/t', 'AIOT_STREAM_URL'],
    ['mqtt://ann:secret%zz@host/t', 'AIOT_STREAM_URL'],
    ['file://', 'AIOT_STREAM_URL'],
  ])('%s is rejected with %s, without a secret in the message', async (url, code) => {
    const error = await openSource(url).catch((e: unknown) => e);
    expect(error).toMatchObject({ code });
    expect(String(error)).not.toMatch(/secret|word/);
  });

  it('is rejected with the similar setting if a setting is unknown', async () => {
    await expect(openSource('mqtt://127.0.0.1:1/t?clientid=b1')).rejects.toMatchObject({
      code: 'AIOT_STREAM_URL',
      message: 'mqtt://127.0.0.1:1: clientid: unknown field. Did you mean clientId?',
    });
  });

  it('is rejected with the schemes supported for its direction', async () => {
    await expect(openSource('ftp://x')).rejects.toMatchObject({
      next: expect.stringMatching(/^Use one of aiot:, .*file:, .*mqtt:, .*stdin:/),
    });
    await expect(openSource('mqt://x')).rejects.toMatchObject({
      message: 'mqt: cannot be read from. Did you mean mqtt?',
    });
    await expect(openSink('stdin:')).rejects.toMatchObject({
      next: expect.stringMatching(/^Use one of aiot:, (?!.*stdin:).*file:, .*mqtt:/),
    });
  });
});

describe('text for a terminal', () => {
  it.each([
    ['plain {"x":1} äöü ✓', 'plain {"x":1} äöü ✓'],
    ['\u001b[2J\u0007bell', '\\x1b[2J\\x07bell'],
    ['a\nb\tc\r', 'a\\nb\\tc\\x0d'],
    ['\u009b31m\u202egnp', '\\x9b31m\\u{202e}gnp'],
  ])('is printed safely: %j as %j', (text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it('shows invalid UTF-8 byte by byte', () => {
    expect(printablePayload(Uint8Array.of(0xff, 0x00, 0x41, 0x9b))).toBe('ÿ\\x00A\\x9b');
  });
});
