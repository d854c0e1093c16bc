import { describe, expect, it } from 'vitest';
import {
  deviceLabels,
  type LabelDevice,
  labelContent,
  labelFormatOf,
} from '../../../src/lib/provision/labels.js';
import { type Picture, readQr } from '../../support/qr.js';

const device: LabelDevice = {
  name: 'motor-1',
  id: 'dev_01k9z3a8b7c6d5e4f3g2h1j0',
  type: 'esp32',
  mac: '24:0a:c4:12:34:56',
  chipId: '1193046',
  fingerprint: '0123456789abcdef'.repeat(4),
};
const svgOf = async (...devices: LabelDevice[]) => Buffer.from(await deviceLabels(devices, 'svg')).toString();

/** Draws the SVG's QR codes from its paths, at 20 pixels per mm. */
function drawn(svg: string): Picture {
  const scale = 20;
  const [, width = 0, height = 0] = (/viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? []).map(Number);
  const picture = {
    width: width * scale,
    height: height * scale,
    pixels: new Uint8Array(width * height * scale ** 2).fill(255),
  };
  const groups = svg.split('<g transform="translate(0 ').slice(1);
  for (const group of groups) {
    const top = Number.parseFloat(group);
    for (const [, ...numbers] of group.matchAll(/M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z/g)) {
      const [x, y, w, h] = numbers.map(Number) as [number, number, number, number];
      for (let row = Math.round((top + y) * scale); row < Math.round((top + y + h) * scale); row++) {
        const at = row * picture.width;
        picture.pixels.fill(0, at + Math.round(x * scale), at + Math.round((x + w) * scale));
      }
    }
  }
  return picture;
}

describe('labels', () => {
  it('have a QR code that an independent reader decodes', async () => {
    const long = { ...device, name: 'x'.repeat(64), mac: null, chipId: null };
    const picture = drawn(await svgOf(device, long));
    expect(readQr(picture, 0, 0, 500, 500)).toBe(
      'aiot:device/motor-1?id=dev_01k9z3a8b7c6d5e4f3g2h1j0&mac=24:0a:c4:12:34:56&cert=0123456789abcdef',
    );
    expect(readQr(picture, 0, 500, 500, 500)).toBe(labelContent(long));
  });

  it('identify the device and omit unknown values', async () => {
    const texts = [...(await svgOf(device)).matchAll(/<text [^>]*>([^<]*)</g)].map(([, text]) => text);
    expect(texts).toEqual([
      'motor-1',
      'esp32',
      device.id.slice(0, 20),
      device.id.slice(20),
      '24:0a:c4:12:34:56',
      'chip 1193046',
      'cert 0123456789ab',
    ]);
    const unknown = [
      ...(await svgOf({ ...device, mac: null, chipId: null })).matchAll(/<text [^>]*>([^<]*)</g),
    ];
    expect(unknown).toHaveLength(5);
  });

  it.each(['a', 'motor-1', 'x'.repeat(64), 'hall-3_line-12.shaded-pole-motor-north-west', 'W'.repeat(17)])(
    'fit within their edges: %s',
    async (name) => {
      const svg = await svgOf({
        ...device,
        name,
        type: 'pump-of-a-very-long-kind',
        id: `dev_${'0'.repeat(26)}`,
      });
      const lines = [
        ...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)" [^>]*font-size="([\d.]+)"[^>]*>([^<]*)</g),
      ];
      for (const [, x, y, size, text] of lines) {
        expect(Number(x) + text!.length * Number(size) * 0.6).toBeLessThanOrEqual(49.01);
        expect(Number(y)).toBeLessThan(24.5);
        // Smaller text would be illegible.
        expect(Number(size)).toBeGreaterThanOrEqual(2.05);
      }
      const texts = lines.map(([, , , , text]) => text).join('');
      expect(texts).toContain(name.slice(0, 16));
      expect(texts).toContain(name.length > 40 ? name.slice(-20) : name);
    },
  );

  it('escape special characters in SVG and PDF', async () => {
    const svg = await svgOf({ ...device, type: '<&>"' });
    expect(svg).toContain('>&lt;&amp;&gt;"</text>');
    const pdf = Buffer.from(await deviceLabels([{ ...device, type: 'a)(\\é' }], 'pdf')).toString('latin1');
    expect(pdf).toContain('(a\\)\\(\\\\?) Tj');
  });

  it('fill as many sheets as needed, with correct PDF offsets', async () => {
    for (const [count, pages] of [
      [1, 1],
      [44, 1],
      [45, 2],
    ] as const) {
      const pdf = Buffer.from(await deviceLabels(Array(count).fill(device), 'pdf')).toString('latin1');
      expect(pdf).toContain(`/Count ${pages} >>`);
      const table = Number(/startxref\n(\d+)\n%%EOF\n$/.exec(pdf)?.[1]);
      expect(pdf.slice(table, table + 5)).toBe('xref\n');
      const offsets = [...pdf.slice(table).matchAll(/^(\d{10}) 00000 n $/gm)].map(([, offset]) =>
        Number(offset),
      );
      expect(offsets).toHaveLength(4 + 2 * pages);
      for (const [i, offset] of offsets.entries()) {
        expect(pdf.slice(offset).startsWith(`${i + 1} 0 obj\n`)).toBe(true);
      }
    }
  });

  it('have the format of the file name’s extension, and need at least one device', async () => {
    expect([labelFormatOf('a.svg'), labelFormatOf('b/C.PDF')]).toEqual(['svg', 'pdf']);
    expect(() => labelFormatOf('labels.png')).toThrow(
      'expected a label file name that ends with .svg or .pdf, got labels.png',
    );
    await expect(deviceLabels([], 'pdf')).rejects.toThrow(
      'expected at least one device to print a label for',
    );
  });
});
