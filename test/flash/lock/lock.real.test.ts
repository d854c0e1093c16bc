import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SimulatedChip } from '../../../src/lib/flash/rom/chip.js';
import { serveChip } from '../../../src/lib/flash/rom/serve.js';
import { parsePartitionsCsv, writePartitionTable } from '../../../src/lib/formats/partitions.js';
import { runCli } from '../../support/cli.js';
import { described, espBootloader, espImage } from '../../support/esp-image.js';
import { fuseChip } from '../../support/fuse-loader.js';
import { describeReal, python } from '../../support/real.js';

/** PyPI's espefuse reads and burns the fuses of the simulated chip, and espsecure decrypts and verifies its flash. */
describeReal('esptool', 'locking compared with espefuse and espsecure', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-lock-'));
  const at = (name: string) => join(folder, name);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const tool = (name: 'espefuse' | 'espsecure' | 'esptool', ...args: string[]) =>
    new Promise<string>((resolve, reject) => {
      const child = spawn(python('esptool'), ['-m', name, ...args], { timeout: 60_000 });
      let text = '';
      child.stdout.on('data', (bytes) => {
        text += bytes;
      });
      child.stderr.on('data', (bytes) => {
        text += bytes;
      });
      child.on('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`${name}: ${text}`))));
    });

  const table =
    'nvs,data,nvs,0x9000,0x5000,\notadata,data,ota,0xe000,0x2000,\napp0,app,ota_0,0x10000,0x20000,\n';
  const mac = '24:0a:c4:00:01:10';

  beforeAll(async () => {
    await tool('espsecure', 'generate-signing-key', '--version', '2', '--scheme', 'rsa3072', at('boot.pem'));
    writeFileSync(at('table.bin'), writePartitionTable(parsePartitionsCsv(table)));
    for (const chip of ['esp32s3', 'esp32c3'] as const) {
      const app = { chip, address: 0x3c00_0020, starts: described('motor', '1.4.0') };
      writeFileSync(at(`${chip}-plain-boot.bin`), espBootloader(chip));
      writeFileSync(at(`${chip}-plain-app.bin`), espImage({ ...app, bytes: 5000 }));
      for (const name of ['boot.bin', 'app.bin']) {
        const signing = ['--version', '2', '--keyfile', at('boot.pem'), '--output', at(`${chip}-${name}`)];
        await tool('espsecure', 'sign-data', ...signing, at(`${chip}-plain-${name}`));
      }
    }
  });

  /** Runs espefuse on a simulated chip with these fuses, and returns the fuses afterward. */
  const espefuse = (fuses: Uint8Array | undefined, ...args: string[]) =>
    espefuseOn('esp32s3', fuses, ...args);

  async function espefuseOn(name: 'esp32s3' | 'esp32c3', fuses: Uint8Array | undefined, ...args: string[]) {
    const chip = new SimulatedChip({ chip: name, fuses });
    const served = await serveChip(chip, { port: 0 });
    const connection = ['--chip', name, '--port', served.address, '--before', 'no-reset'];
    try {
      const text = await tool('espefuse', ...connection, ...args);
      return { text, fuses: chip.fuses!.save() };
    } finally {
      await served.close();
      chip.powerOff();
    }
  }

  it.each([
    ['esp32s3', 18],
    ['esp32c3', 17],
  ] as const)(
    'burns the fuses of an %s that espefuse then shows, and a flash that espsecure decrypts and verifies',
    async (chip, last) => {
      const port = `simulated:${chip}?flash=${at(`${chip}.flash`)}&fuses=${at(`${chip}.fuses`)}`;
      const images = [
        `${at(`${chip}-boot.bin`)}@0x0`,
        `${at('table.bin')}@0x8000`,
        `${at(`${chip}-app.bin`)}@0x10000`,
      ];
      const keys = ['--boot-key', at('boot.pem'), '--encryption-keys', at('keys')];
      // The power fails before the last step, which enables secure download mode. In that mode, espefuse could not read anything.
      const cut = `${port}&fault=burn-cut%20after=${last}`;
      const confirmed = ['--yes', '--mac', mac];
      await runCli(['flash', ...images, '--profile', 'production', ...keys, '--port', cut, ...confirmed]);
      const fuses = readFileSync(at(`${chip}.fuses`));
      // The power failed during the last burn, and none of its bits is set.
      const { text } = await espefuseOn(chip, fuses, 'summary', '--format', 'json');
      const summary = JSON.parse(text.slice(text.indexOf('{'))) as Record<string, Summary>;
      const value = (name: string) => summary[name]?.value;
      const digest = await tool(
        'espsecure',
        'digest-sbv2-public-key',
        '--keyfile',
        at('boot.pem'),
        '--output',
        at('digest'),
      );
      expect(digest).toContain('digest');
      const bytes = (name: string) => String(value(name)).replaceAll(' ', '');
      expect(bytes('BLOCK_KEY0')).toBe(readFileSync(at('digest')).toString('hex'));
      expect(summary).toMatchObject({
        KEY_PURPOSE_0: { value: 'SECURE_BOOT_DIGEST0', writeable: false },
        KEY_PURPOSE_1: { value: 'XTS_AES_128_KEY', writeable: false },
        BLOCK_KEY0: { readable: true, writeable: false },
        BLOCK_KEY1: { readable: false, writeable: false },
        RD_DIS: { value: 2, writeable: false },
        SECURE_BOOT_EN: { value: true },
        SECURE_BOOT_KEY_REVOKE0: { value: false },
        SECURE_BOOT_KEY_REVOKE1: { value: true },
        SECURE_BOOT_KEY_REVOKE2: { value: true },
        DIS_DOWNLOAD_MANUAL_ENCRYPT: { value: true },
        DIS_DOWNLOAD_ICACHE: { value: true },
        ...(chip === 'esp32s3' && { DIS_DOWNLOAD_DCACHE: { value: true } }),
        DIS_PAD_JTAG: { value: true },
        DIS_USB_JTAG: { value: true },
        DIS_DIRECT_BOOT: { value: true },
        // Not burned: for an ESP32-C3, espefuse shows the setting as text.
        DIS_USB_SERIAL_JTAG: { value: chip === 'esp32s3' ? false : 'Enable' },
        ENABLE_SECURITY_DOWNLOAD: { value: false },
      });
      expect(String(value('SPI_BOOT_CRYPT_CNT'))).toMatch(/Enable|7/);
      expect((await espefuseOn(chip, fuses, 'check-error')).text).toContain('No errors detected');

      const flash = readFileSync(at(`${chip}.flash`));
      for (const [name, address] of [
        [`${chip}-boot.bin`, 0],
        [`${chip}-app.bin`, 0x10000],
      ] as const) {
        const signed = readFileSync(at(name));
        writeFileSync(at('part'), flash.subarray(address, address + signed.length));
        const key = ['--aes-xts', '--keyfile', at('keys/240ac4000110.key'), '--address', String(address)];
        await tool('espsecure', 'decrypt-flash-data', ...key, '--output', at('decrypted'), at('part'));
        expect(readFileSync(at('decrypted')).equals(signed)).toBe(true);
        const verifying = ['--version', '2', '--keyfile', at('boot.pem'), at('decrypted')];
        await tool('espsecure', 'verify-signature', ...verifying);
      }
    },
  );

  it.each([
    ['esp32s2', ['DIS_DOWNLOAD_DCACHE', 'DIS_DOWNLOAD_ICACHE', 'DIS_LEGACY_SPI_BOOT', 'HARD_DIS_JTAG']],
    ['esp32c6', ['DIS_DIRECT_BOOT', 'DIS_DOWNLOAD_ICACHE', 'DIS_PAD_JTAG', 'DIS_USB_JTAG']],
    ['esp32h2', ['DIS_DIRECT_BOOT', 'DIS_PAD_JTAG', 'DIS_USB_JTAG']],
  ] as const)(
    'burns the fuses of an %s through its controller, whose registers espefuse then shows',
    async (chip, own) => {
      const digesting = ['digest-sbv2-public-key', '--keyfile', at('boot.pem'), '--output', at('digest')];
      await tool('espsecure', ...digesting);
      const digest = readFileSync(at('digest'));
      const board = fuseChip(chip);
      try {
        await board.lock(digest);
        writeFileSync(at(`${chip}.registers`), board.registerFile());
        const virtual = ['--chip', chip, '--virt', '--path-efuse-file', at(`${chip}.registers`)];
        const text = await tool('espefuse', ...virtual, 'summary', '--format', 'json');
        const summary = JSON.parse(text.slice(text.indexOf('{'))) as Record<string, Summary>;
        const value = (name: string) => summary[name]?.value;
        expect(String(value('BLOCK_KEY0')).replaceAll(' ', '')).toBe(digest.toString('hex'));
        expect(summary).toMatchObject({
          KEY_PURPOSE_0: { value: 'SECURE_BOOT_DIGEST0', writeable: false },
          KEY_PURPOSE_1: { value: 'XTS_AES_128_KEY', writeable: false },
          KEY_PURPOSE_2: { value: 'USER', writeable: true },
          BLOCK_KEY0: { readable: true, writeable: false },
          BLOCK_KEY1: { readable: false, writeable: false },
          RD_DIS: { value: 2, writeable: false },
          SECURE_BOOT_EN: { value: true },
          SECURE_BOOT_KEY_REVOKE0: { value: false },
          SECURE_BOOT_KEY_REVOKE1: { value: true },
          SECURE_BOOT_KEY_REVOKE2: { value: true },
          DIS_DOWNLOAD_MANUAL_ENCRYPT: { value: true },
          DIS_DOWNLOAD_MODE: { value: false },
          ENABLE_SECURITY_DOWNLOAD: { value: true },
        });
        expect(String(value('SPI_BOOT_CRYPT_CNT'))).toMatch(/Enable|7/);
        // No other fuse is burned.
        const changed = Object.keys(summary).filter((name) => summary[name]!.value === true);
        expect(changed.sort()).toEqual(
          [
            ...['DIS_DOWNLOAD_MANUAL_ENCRYPT', 'ENABLE_SECURITY_DOWNLOAD', 'SECURE_BOOT_EN', ...own],
            ...['SECURE_BOOT_KEY_REVOKE1', 'SECURE_BOOT_KEY_REVOKE2'],
          ].sort(),
        );
      } finally {
        board.remove();
      }
    },
  );

  it('burns a key block exactly as espefuse does', async () => {
    const key = Buffer.alloc(32, 0).map((_, index) => (index * 37 + 11) & 0xff);
    writeFileSync(at('flash.key'), key);
    const burning = ['--do-not-confirm', 'burn-key', 'BLOCK_KEY0', at('flash.key'), 'XTS_AES_128_KEY'];
    const theirs = await espefuse(undefined, ...burning);
    const files = `simulated:esp32s3?flash=${at('b.flash')}&fuses=${at('b.fuses')}`;
    // The existing key is used, as for a board whose provisioning was started earlier.
    mkdirSync(at('given'));
    writeFileSync(at('given/240ac4000110.key'), key);
    const keys = ['--boot-key', at('boot.pem'), '--encryption-keys', at('given'), '--yes', '--mac', mac];
    const signed = [
      `${at('esp32s3-boot.bin')}@0x0`,
      `${at('table.bin')}@0x8000`,
      `${at('esp32s3-app.bin')}@0x10000`,
    ];
    const cut = `${files}&fault=burn-cut%20after=7`;
    await runCli(['flash', ...signed, '--profile', 'production', ...keys, '--port', cut]);
    // Our key is in block 1, because block 0 contains the digest. A block has 44 bytes, including the check bytes of its code.
    const ours = readFileSync(at('b.fuses'));
    expect(ours.subarray(5 * 44, 6 * 44).equals(theirs.fuses.subarray(4 * 44, 5 * 44))).toBe(true);
  });

  it('burns the HMAC key of an NVS exactly as espefuse does', async () => {
    const key = Buffer.alloc(32, 0).map((_, index) => (index * 91 + 5) & 0xff);
    writeFileSync(at('nvs.key'), key);
    const burning = ['--do-not-confirm', 'burn-key', 'BLOCK_KEY5', at('nvs.key'), 'HMAC_UP'];
    const theirs = await espefuse(undefined, ...burning);
    const port = `simulated:esp32s3?fuses=${at('hmac.fuses')}`;
    const lock = ['board', 'lock', '--only', 'nvs-key', '--nvs-key', at('nvs.key'), '--port', port];
    const confirmed = ['--yes', '--mac', mac, '--json'];
    expect((await runCli([...lock, ...confirmed])).json).toMatchObject({ burned: 4, complete: true });
    expect(Buffer.compare(readFileSync(at('hmac.fuses')), theirs.fuses)).toBe(0);
    const { json } = await runCli(['board', 'security', '--port', port, '--json']);
    const inBlock5 = { block: 5, purpose: 'hmac-up', readProtected: true, writeProtected: true };
    expect((json as { keys: unknown[] }).keys).toContainEqual(inBlock5);
  });

  it('compares the secure version that espefuse burned with that of an app, which esptool reads', async () => {
    const burning = ['--do-not-confirm', 'burn-efuse', 'SECURE_VERSION', '7'];
    const { fuses } = await espefuse(undefined, ...burning);
    writeFileSync(at('version.fuses'), fuses);
    const port = `simulated:esp32s3?fuses=${at('version.fuses')}`;
    const { json } = await runCli(['board', 'security', '--port', port, '--json']);
    expect(json).toMatchObject({ secureVersion: 3 });
    const patching = [at('esp32s3-plain-app.bin'), '--secure-version', '3', '--out', at('app-3.bin')];
    expect((await runCli(['firmware', 'image', 'patch', ...patching])).code).toBe(0);
    const info = await tool('esptool', 'image-info', at('app-3.bin'));
    expect(info).toMatch(/Secure version: 3/);
    expect(info).toMatch(/Checksum: 0x[0-9a-f]{2} \(valid\)/);
    expect(info).toMatch(/Validation hash: [0-9a-f]{64} \(valid\)/);
    const flashing = (app: string) => runCli(['flash', `${at(app)}@0x10000`, '--port', port, '--json']);
    expect(await flashing('esp32s3-plain-app.bin')).toMatchObject({
      code: 6,
      json: { error: { code: 'AIOT_FLASH_REFUSED' } },
    });
    expect((await flashing('app-3.bin')).code).toBe(0);
  });

  it('reads the fuses that espefuse burned', async () => {
    const burning = ['--do-not-confirm', 'burn-efuse', 'DIS_PAD_JTAG', '1', 'DIS_USB_JTAG', '1'];
    const { fuses } = await espefuse(undefined, ...burning);
    writeFileSync(at('theirs.fuses'), fuses);
    const port = `simulated:esp32s3?fuses=${at('theirs.fuses')}`;
    const { json } = await runCli(['board', 'security', '--port', port, '--json']);
    expect(json).toMatchObject({ jtag: { pins: 'disabled', usb: 'disabled' } });
    const plan = await runCli(['board', 'lock', '--only', 'jtag', '--port', port, '--json']);
    expect(plan.json).toMatchObject({
      steps: [
        { fuse: 'DIS_PAD_JTAG', done: true },
        { fuse: 'DIS_USB_JTAG', done: true },
        { fuse: 'DIS_DIRECT_BOOT', done: false },
      ],
    });
  });
});

interface Summary {
  value: unknown;
  readable: boolean;
  writeable: boolean;
}
