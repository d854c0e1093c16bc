import { describe, expect, it } from 'vitest';
import { openSource } from '../../../src/lib/stream/open.js';
import { LineSplitter } from '../../../src/lib/stream/serial/source.js';
import { runCli } from '../../support/cli.js';
import { fc } from '../../support/property.js';

describe('lines of a serial port', () => {
  it('are the same however the bytes are split', () => {
    const line = fc
      .string({ unit: 'binary-ascii', maxLength: 20 })
      .map((text) => text.replace(/[\r\n]/g, '.'));
    fc.assert(
      fc.property(
        fc.array(line),
        fc.integer({ min: 1, max: 30 }),
        fc.constantFrom('\n', '\r\n'),
        (lines, cut, end) => {
          const bytes = Buffer.from(lines.map((text) => `${text}${end}`).join(''), 'latin1');
          const splitter = new LineSplitter(100);
          const got: string[] = [];
          for (let at = 0; at < bytes.length; at += cut)
            got.push(...splitter.push(bytes.subarray(at, at + cut)).map((text) => text.toString('latin1')));
          expect(got).toEqual(lines.filter((text) => text !== ''));
        },
      ),
    );
  });

  it('are split if too long, and discarded on reset', () => {
    const splitter = new LineSplitter(4);
    const push = (text: string) => splitter.push(Buffer.from(text)).map(String);
    expect(push('abcdefghij\n')).toEqual(['abcd', 'efgh', 'ij']);
    expect(push('half')).toEqual([]);
    splitter.reset();
    expect(push('new\n')).toEqual(['new']);
  });
});

describe('serial: addresses', () => {
  it.each([
    ['no port', 'serial://', 'AIOT_STREAM_URL', 'expected a port'],
    ['an invalid speed', 'serial:///dev/ttyX?baud=fast', 'AIOT_STREAM_URL', 'baud'],
    ['an unknown setting', 'serial:///dev/ttyX?speed=9600', 'AIOT_STREAM_URL', 'speed'],
    [
      'a port that does not exist',
      'serial:///dev/ttyNONE',
      'AIOT_SERIAL_NOT_FOUND',
      'no serial port at /dev/ttyNONE',
    ],
    ['a file', 'serial:///etc/hostname', 'AIOT_SERIAL_NOT_FOUND', 'not a serial port'],
  ])('are rejected with %s', async (_, url, code, named) => {
    await expect(openSource(url)).rejects.toMatchObject({ code, message: expect.stringContaining(named) });
  });

  it('make tail exit with 4 if the port does not exist', async () => {
    const { code, stderr } = await runCli(['stream', 'tail', 'serial:///dev/ttyNONE']);
    expect(code).toBe(4);
    expect(stderr).toContain('AIOT_SERIAL_NOT_FOUND');
  });
});
