import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { describeReal } from '../support/real.js';

const run = async (program: string, args: string[]) =>
  (await promisify(execFile)(program, args, { maxBuffer: 2 ** 26 })).stdout;

const chips = ['ESP32', 'ESP32-S3', 'ESP32-C3'];

describeReal('riscv', 'the heap of the ESP32 firmware', () => {
  let dir = '';
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'aiot-heap-'));
    await run('cmake', ['-S', join(root, 'firmware'), '-B', dir]);
  }, 120_000);
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('matches docs/reference/firmware-memory.md for each chip', async () => {
    const rows = new Map<string, string[]>();
    for (const chip of chips) {
      const target = `esp32_heap_${chip.replace('-', '')}`;
      await run('cmake', ['--build', dir, '--target', `${target}_built`]);
      const told = await run('ctest', ['--test-dir', dir, '-R', `^${target}$`, '-V']);
      for (const [, item, value] of told.matchAll(/^\d+: ESP32[^|]*\|([^|]*)\|(.*)$/gm)) {
        const figure = (value ?? '').trim();
        const shown = /^\d+$/.test(figure) ? Number(figure).toLocaleString('en-US') : figure;
        rows.set(item ?? '', [...(rows.get(item ?? '') ?? []), shown]);
      }
    }
    const lines = [
      `| bytes | ${chips.join(' | ')} |`,
      '| --- | --: | --: | --: |',
      ...[...rows].map(([item, values]) => `| ${item} | ${values.join(' | ')} |`),
    ];
    expect(rows.size).toBeGreaterThan(15);
    expect(readFileSync(join(root, 'docs', 'reference', 'firmware-memory.md'), 'utf8')).toContain(
      lines.join('\n'),
    );
  }, 900_000);
});
