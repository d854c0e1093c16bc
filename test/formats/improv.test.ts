import { describe, expect, it } from 'vitest';
import {
  decodeTexts,
  encodeImprov,
  encodeTexts,
  type ImprovPacket,
  ImprovReader,
  improvError,
} from '../../src/lib/formats/improv.js';
import { fc } from '../support/property.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const header = '494d50524f5601';
/** The packet without the line feeds around it. */
const bare = (packet: Parameters<typeof encodeImprov>[0]) => hex(encodeImprov(packet)).slice(2, -2);

/** All packets and all text of the bytes, which arrive in pieces. */
function read(bytes: Uint8Array, piece = bytes.length || 1) {
  const reader = new ImprovReader();
  const packets: ImprovPacket[] = [];
  let text = '';
  for (let at = 0; at < bytes.length; at += piece) {
    const part = reader.push(bytes.subarray(at, at + piece));
    packets.push(...part.packets);
    text += Buffer.from(part.text).toString('latin1');
  }
  return { packets, text, damaged: reader.damaged, reader };
}

describe('Improv packets', () => {
  it("have the bytes of the specification's example: SSID MyWirelessAP, password mysecurepassword", () => {
    // https://www.improv-wifi.com/serial gives the command as 01 1E 0C {MyWirelessAP} 10 {mysecurepassword}.
    const command = `011e0c${hex(Buffer.from('MyWirelessAP'))}10${hex(Buffer.from('mysecurepassword'))}`;
    const data = encodeTexts(['MyWirelessAP', 'mysecurepassword']);
    const sum = [...Buffer.from(`${header}0320${command}`, 'hex')].reduce((a, b) => a + b, 0) & 0xff;
    expect(bare({ kind: 'command', command: 1, data })).toBe(
      `${header}0320${command}${sum.toString(16).padStart(2, '0')}`,
    );
  });

  it.each([
    // Each sum was added by hand: 49+4D+50+52+4F+56+01 = 1DE.
    ['state ready', { kind: 'state', state: 'ready' }, '010102e2'],
    ['state provisioning', { kind: 'state', state: 'provisioning' }, '010103e3'],
    ['state provisioned', { kind: 'state', state: 'provisioned' }, '010104e4'],
    ['no error', improvError('none'), '020100e1'],
    ['unable to connect', improvError('unable-to-connect'), '020103e4'],
    ['unknown error', improvError('unknown'), '0201ffe0'],
    ['request for the state', { kind: 'command', command: 2, data: new Uint8Array() }, '03020200e5'],
    ['end of a scan', { kind: 'result', command: 4, texts: [] }, '04020400e8'],
    ['a network', { kind: 'result', command: 4, texts: ['a', '-60', 'NO'] }, '040b04090161032d3630024e4f91'],
  ] satisfies [string, Parameters<typeof encodeImprov>[0], string][])('encode %s', (_name, packet, bytes) => {
    expect(bare(packet)).toBe(header + bytes);
    expect(read(encodeImprov(packet))).toMatchObject({ packets: [packet], text: '\n\n', damaged: 0 });
  });

  it('are found between log lines, at every split of the bytes', () => {
    const state = { kind: 'state', state: 'ready' } as const;
    const bytes = Buffer.concat([
      Buffer.from('I (12) boot: IMPROVE it, IMPROV\r\nIMP'),
      encodeImprov(state),
      Buffer.from('W (13) wifi: IMPROV\x01'),
      encodeImprov(improvError('none')),
    ]);
    for (let piece = 1; piece <= bytes.length; piece++) {
      const { packets, text } = read(bytes, piece);
      expect(packets).toEqual([state, improvError('none')]);
      expect(text).toBe('I (12) boot: IMPROVE it, IMPROV\r\nIMP\n\nW (13) wifi: IMPROV\x01\n\n');
    }
  });

  it('are reported as damaged if the checksum is wrong, and do not hide the next packet', () => {
    const good = encodeImprov({ kind: 'state', state: 'ready' });
    const bad = Uint8Array.from(good);
    bad[10] = 0x03;
    const { packets, damaged } = read(Buffer.concat([bad, good]));
    expect({ packets, damaged }).toEqual({ packets: [{ kind: 'state', state: 'ready' }], damaged: 1 });
  });

  it('after a packet that lost its end are found once the line is quiet', () => {
    const cut = encodeImprov({ kind: 'result', command: 4, texts: ['x'.repeat(200)] }).subarray(0, 40);
    const { packets, reader } = read(Buffer.concat([cut, encodeImprov(improvError('none'))]));
    expect(packets).toEqual([]);
    expect(reader.expire().packets).toEqual([improvError('none')]);
  });

  it.each([
    ['a state that is not defined', [1, 1, 9]],
    ['a state of two bytes', [1, 2, 2, 2]],
    ['a command whose length is wrong', [3, 2, 1, 5]],
    ['a result whose text exceeds the packet', [4, 4, 4, 2, 9, 65]],
    ['a command without a number', [3, 0]],
  ])('are malformed with %s', (_name, rest) => {
    const frame = [...Buffer.from(header, 'hex'), ...rest];
    const sum = frame.reduce((a, b) => a + b, 0) & 0xff;
    expect(read(Uint8Array.from([...frame, sum])).packets).toMatchObject([
      { kind: 'malformed', type: rest[0] },
    ]);
  });

  it('keep the number of an error that the specification does not define', () => {
    const bytes = encodeImprov({ kind: 'error', error: 'unknown', code: 77 });
    expect(read(bytes).packets).toEqual([{ kind: 'error', error: 'unknown', code: 77 }]);
  });

  it('survive any text around them, and any texts in them', () => {
    const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 10 }), { maxLength: 4 });
    fc.assert(
      fc.property(
        texts,
        fc.uint8Array({ maxLength: 30 }),
        fc.integer({ min: 1, max: 40 }),
        (inside, noise, piece) => {
          const packet = { kind: 'result', command: 1, texts: inside } as const;
          // A header in the noise could claim the packet as its data until the line is quiet.
          const around = noise.map((byte) => (byte === 0x49 ? 0x69 : byte));
          const bytes = Buffer.concat([around, encodeImprov(packet), around]);
          expect(read(bytes, piece).packets).toEqual([packet]);
        },
      ),
    );
  });

  it('hold at most 255 bytes', () => {
    expect(() => encodeTexts(['x'.repeat(256)])).toThrow(RangeError);
    expect(() => encodeImprov({ kind: 'result', command: 1, texts: ['x'.repeat(253)] })).toThrow(RangeError);
    expect(decodeTexts(Uint8Array.of(2, 65))).toBeNull();
  });
});
