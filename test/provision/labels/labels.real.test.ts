import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { deviceLabels, type LabelDevice, labelContent } from '../../../src/lib/provision/labels.js';
import { readPgm, readQr } from '../../support/qr.js';
import { describeReal } from '../../support/real.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-labels-'));
const devices = Array.from(
  { length: 45 },
  (_, i): LabelDevice => ({
    name: i % 2 ? `motor-${i}` : `hall-3_line-12.shaded-pole-motor-${i}`,
    id: 'dev_01k9z3a8b7c6d5e4f3g2h1j0',
    type: 'esp32',
    mac: `24:0a:c4:12:34:${(i + 16).toString(16)}`,
    chipId: null,
    fingerprint: '0123456789abcdef'.repeat(4),
  }),
);

function mutool(...argv: string[]): string {
  const run = spawnSync('mutool', argv, { cwd: folder, encoding: 'utf8' });
  expect(run.status, run.stderr).toBe(0);
  return run.stdout + run.stderr;
}

describeReal('mutool', 'labels rendered by MuPDF', () => {
  it('are readable from the sheets of a valid PDF', async () => {
    writeFileSync(join(folder, 'l.pdf'), await deviceLabels(devices, 'pdf'));
    expect(mutool('draw', '-r', '300', '-c', 'gray', '-o', 'l-%d.pgm', 'l.pdf')).not.toMatch(
      /error|repair|xref/i,
    );
    const mm = 300 / 25.4;
    const read = devices.map((_, i) => {
      const page = readPgm(readFileSync(join(folder, `l-${Math.floor(i / 44) + 1}.pgm`)));
      const [column, row] = [(i % 44) % 4, Math.floor((i % 44) / 4)];
      const side = Math.round(24 * mm);
      return readQr(
        page,
        Math.round((5.3 + column * 50) * mm),
        Math.round((11.3 + row * 25) * mm),
        side,
        side,
      );
    });
    expect(read).toEqual(devices.map(labelContent));
    const text = mutool('draw', '-q', '-F', 'txt', 'l.pdf', '2');
    expect(text).toContain('shaded-pole-motor-44');
  }, 60_000);

  it('are readable from an SVG', async () => {
    writeFileSync(join(folder, 'l.svg'), await deviceLabels(devices.slice(0, 2), 'svg'));
    mutool('draw', '-q', '-r', '200', '-c', 'gray', '-o', 'svg.pgm', 'l.svg');
    const page = readPgm(readFileSync(join(folder, 'svg.pgm')));
    const half = page.height >> 1;
    const read = [0, half].map((top) => readQr(page, 2, top + 2, half - 2, half - 4));
    expect(read).toEqual(devices.slice(0, 2).map(labelContent));
  });
});
