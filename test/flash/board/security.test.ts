import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { SimulatedChip, type SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { type ServedChip, serveChip } from '../../../src/lib/flash/rom/serve.js';
import type { BoardSecurity } from '../../../src/lib/flash/security.js';
import { runCli } from '../../support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-security-'));
const served: ServedChip[] = [];
afterEach(async () => {
  for (const one of served.splice(0)) await one.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function portOf(options: SimulatedChipOptions): Promise<string> {
  const one = await serveChip(new SimulatedChip(options), { port: 0 });
  served.push(one);
  return one.address;
}

async function securityOf(...args: string[]) {
  const { json, code, stderr } = await runCli(['board', 'security', ...args, '--json']);
  return { security: json as BoardSecurity, code, stderr };
}

const s3 = 0x6000_702c;

/** Fuses of an ESP32-S3 that ESP-IDF has locked for production: two keys for encryption, one for secure boot. */
const lockedS3: Record<number, number> = {
  // Write protection of the encryption count.
  [s3]: 1 << 4,
  // Key blocks 1 and 2 cannot be read; JTAG on pins and encryption by the loader are disabled.
  [s3 + 4]: 0b110 | (1 << 19) | (1 << 20),
  // Encryption count 1; boot keys 1 and 2 revoked; purposes of blocks 0 and 1.
  [s3 + 8]: ((1 << 18) | (1 << 22) | (1 << 23) | (9 << 24) | (2 << 28)) >>> 0,
  // Purpose of block 2; secure boot; JTAG over USB disabled.
  [s3 + 12]: 3 | (1 << 20) | (1 << 22),
  // Direct boot disabled, secure download mode off, rollback version 3.
  [s3 + 16]: (1 << 0) | (1 << 1) | (0b111 << 14),
};

describe('aiot board security', () => {
  it('shows an open board, which fits development and fails production with code 6', async () => {
    const open = await securityOf('--port', 'simulated:esp32s3');
    expect(open).toMatchObject({ code: 0, security: { source: 'fuses', checks: [], fits: ['development'] } });
    const judged = await securityOf('--port', 'simulated:esp32s3', '--profile', 'production');
    expect(judged.code).toBe(6);
    expect(judged.security.checks).toContainEqual({
      check: 'secure boot',
      ok: false,
      found: 'off',
      expected: 'version 2',
    });
    const text = await runCli(['board', 'security', '--port', 'simulated:esp32', '--profile', 'development']);
    expect(text).toMatchObject({ code: 0, stdout: expect.stringMatching(/matches the profile development/) });
  });

  it('accepts a board locked for production, and names what a development board must not have', async () => {
    const port = await portOf({ chip: 'esp32s3', words: lockedS3 });
    const { security, code } = await securityOf('--port', port, '--profile', 'production');
    expect(security.checks.filter(({ ok }) => ok !== true)).toEqual([]);
    expect(code).toBe(0);
    expect(security).toMatchObject({
      secureBoot: { version: 2, revoked: [false, true, true] },
      flashEncryption: { enabled: true, count: 1, permanent: true },
      jtag: { pins: 'disabled', usb: 'disabled' },
      download: 'disabled',
      secureVersion: 3,
      fits: ['production'],
    });
    expect(security.keys.slice(0, 3)).toEqual([
      { block: 0, purpose: 'secure-boot-0', readProtected: false, writeProtected: false },
      { block: 1, purpose: 'xts-aes-256-1', readProtected: true, writeProtected: false },
      { block: 2, purpose: 'xts-aes-256-2', readProtected: true, writeProtected: false },
    ]);
    const development = await securityOf('--port', port, '--profile', 'development');
    expect(development.code).toBe(6);
    expect(development.security.checks.every(({ ok }) => ok === false)).toBe(true);
  });

  it.each<[string, Record<number, number>]>([
    ['an encryption key that software can read', { [s3 + 4]: 0b100 | (1 << 19) | (1 << 20) }],
    [
      'a boot key slot that is neither used nor revoked',
      { [s3 + 8]: ((1 << 18) | (1 << 22) | (9 << 24) | (2 << 28)) >>> 0 },
    ],
    ['an encryption count that can still be changed', { [s3]: 0 }],
    ['an open download mode', { [s3 + 16]: 1 << 1 }],
  ])('rejects a production board with %s', async (_what, words) => {
    const port = await portOf({ chip: 'esp32s3', words: { ...lockedS3, ...words } });
    const { security, code } = await securityOf('--port', port, '--profile', 'production');
    expect(code).toBe(6);
    expect(security.checks.filter(({ ok }) => ok !== true)).toHaveLength(1);
  });

  it('relies on the ROM in secure download mode, and fails if the ROM reports nothing', async () => {
    const port = 'simulated:esp32s3?fault=secure-download&fault=secure-boot';
    const { security, code } = await securityOf('--port', port, '--profile', 'production');
    expect(code).toBe(6);
    expect(security).toMatchObject({
      source: 'rom',
      mac: '',
      download: 'secure',
      secureBoot: { version: 2 },
    });
    expect(security.checks).toContainEqual(expect.objectContaining({ ok: null, found: 'unknown' }));
    const silent = await securityOf('--port', 'simulated:esp32?fault=secure-download');
    expect(silent).toMatchObject({ code: 5, security: { error: { code: 'AIOT_CHIP_LOCKED' } } });
  });
});

describe('a simulated port', () => {
  it('keeps its flash in a file, which later commands read', async () => {
    const file = join(folder, 'board.bin');
    const image = join(folder, 'image.bin');
    const port = `simulated:esp32c3?flash=${file}&mac=24:0a:c4:00:00:07`;
    expect((await runCli(['board', 'read', '0x0', '0x1000', '--out', image, '--port', port])).code).toBe(0);
    expect(existsSync(file)).toBe(true);
    const written = await runCli(['flash', `${image}@0x20000`, '--port', port, '--json']);
    expect(written).toMatchObject({ code: 0, json: { mac: '24:0a:c4:00:00:07' } });
    const verified = await runCli(['flash', 'verify', `${image}@0x20000`, '--port', port, '--json']);
    expect(verified).toMatchObject({ code: 0, json: { equal: true } });
  });

  it('is accepted in AIOT_PORT by a command with a repeatable --port', async () => {
    process.env.AIOT_PORT = 'simulated:esp32s3';
    try {
      const image = join(folder, 'sector.bin');
      expect((await runCli(['board', 'read', '0x0', '0x1000', '--out', image])).code).toBe(0);
      const written = await runCli(['flash', `${image}@0x20000`, '--json']);
      expect(written).toMatchObject({ code: 0, json: { port: 'simulated:esp32s3' } });
    } finally {
      delete process.env.AIOT_PORT;
    }
  });

  it.each([
    ['simulated:esp8266', /expected one of esp32, esp32c3, esp32s3/],
    [
      'simulated:esp32?colour=red',
      /expected flash, fuses, mac, fault, network or hidden-network after \?, got colour/,
    ],
    ['simulated:esp32?fault=fire', /expected one of/],
    ['simulated:esp32?mac=1', /is not a MAC address/],
  ])('rejects %s', async (port, reason) => {
    const { code, stderr } = await runCli(['board', 'info', '--port', port]);
    expect(code).toBe(2);
    expect(stderr).toMatch(reason);
  });
});
