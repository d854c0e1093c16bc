import { generateKeyPairSync } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flash } from '../../../src/index.js';
import { AiotError } from '../../../src/lib/core/errors.js';
import type { Clock } from '../../../src/lib/core/time.js';
import { type BoardLocked, lockBoard } from '../../../src/lib/flash/lock/lock.js';
import { lockParts } from '../../../src/lib/flash/lock/plan.js';
import { SimulatedChip } from '../../../src/lib/flash/rom/chip.js';
import { checkBytesOf } from '../../../src/lib/formats/efuse-burn.js';
import { cryptFlash } from '../../../src/lib/formats/flash-encryption.js';
import { decryptNvs, readNvsKeys } from '../../../src/lib/formats/nvs/crypt.js';
import { nvsKeysOfHmac } from '../../../src/lib/formats/nvs/hmac.js';
import { readNvs } from '../../../src/lib/formats/nvs/read.js';
import { writeNvs } from '../../../src/lib/formats/nvs/write.js';
import { parsePartitionsCsv, writePartitionTable } from '../../../src/lib/formats/partitions.js';
import { deviceImage } from '../../../src/lib/provision/device-image.js';
import { runCli } from '../../support/cli.js';
import { described, espBootloader, espImage } from '../../support/esp-image.js';
import { fuseChip } from '../../support/fuse-loader.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-lock-'));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const mac = '24:0a:c4:00:01:10';
const confirmed = ['--yes', '--mac', mac];
const keys = ['--boot-key', at('boot.pem'), '--encryption-keys', at('keys')];

function keyFile(name: string): void {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 3072 });
  writeFileSync(at(name), privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

const table = `nvs,data,nvs,0x9000,0x5000,
otadata,data,ota,0xe000,0x2000,
app0,app,ota_0,0x10000,0x20000,
app1,app,ota_1,0x30000,0x20000,
`;

const keysOffset = 0x50000;
const tableWithKeys = `${table}nvs_keys,data,nvs_keys,${keysOffset},0x1000,encrypted\n`;

/** Writes the folder of an identity, as `device provision --out` does. */
function identity(name: string, encrypt: boolean, derivedKeys?: Uint8Array): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const urls = { http: 'https://a', mqtts: 'mqtts://a' };
  const described = { name, id: `dev_${name}`, type: 'motor', chip: 'esp32s3' as const };
  const image = deviceImage(
    { ...described, chipId: null, key, certificate: '' },
    {
      ...{ wifi: null, platform: { ...urls, ca: '' }, trust: null, release: { sequence: 0, floor: 0 } },
      ...{ version: 2, table: tableWithKeys, flashBytes: 4 << 20, encrypt, derivedKeys },
    },
  );
  mkdirSync(at(name));
  writeFileSync(at(`${name}/device.json`), JSON.stringify({ ...described, urls }));
  writeFileSync(at(`${name}/partitions.bin`), image.partitions.data);
  writeFileSync(at(`${name}/nvs.bin`), image.nvs.data);
  if (image.keys) writeFileSync(at(`${name}/nvs_keys.bin`), image.keys.data);
  return at(name);
}

type LockableChip = 'esp32s3' | 'esp32c3';

/** Name of an image for a chip. Those for the ESP32-S3 have no prefix. */
const imageOf = (name: string, chip: LockableChip) => at(chip === 'esp32s3' ? name : `${chip}-${name}`);

const images = (chip: LockableChip = 'esp32s3') => [
  `${imageOf('boot.bin', chip)}@0x0`,
  `${at('table.bin')}@0x8000`,
  `${imageOf('app.bin', chip)}@0x10000`,
];

beforeAll(async () => {
  keyFile('boot.pem');
  keyFile('other.pem');
  writeFileSync(at('table.bin'), writePartitionTable(parsePartitionsCsv(table)));
  for (const chip of ['esp32s3', 'esp32c3'] as const) {
    const app = { chip, address: 0x3c00_0020, starts: described('motor', '1.4.0') };
    const plain = { 'boot.bin': espBootloader(chip), 'app.bin': espImage({ ...app, bytes: 5000 }) };
    for (const [name, bytes] of Object.entries(plain)) {
      const unsigned = imageOf(`plain-${name}`, chip);
      writeFileSync(unsigned, bytes);
      const signing = ['--key', at('boot.pem'), '--secure-boot', 'v2', '--out', imageOf(name, chip)];
      expect((await runCli(['firmware', 'sign', unsigned, ...signing])).code).toBe(0);
    }
  }
});

/** Whether to test a power failure at each burn. */
const long = process.env.AIOT_LONG === '1';

let count = 0;

/** A board whose flash and fuses are kept in files. */
function board(chip: LockableChip = 'esp32s3'): {
  chip: LockableChip;
  flash: string;
  fuses: string;
  port: (...faults: string[]) => string;
} {
  count++;
  const [flash, fuses] = [at(`${count}.flash`), at(`${count}.fuses`)];
  const port = (...faults: string[]) =>
    `simulated:${chip}?${new URLSearchParams([
      ['flash', flash],
      ['fuses', fuses],
      ...faults.map((fault): [string, string] => ['fault', fault]),
    ])}`;
  return { chip, flash, fuses, port };
}

const locking = ['--profile', 'production'];
const flashed = (port: string, ...args: string[]) =>
  runCli(['flash', ...images(), ...locking, '--port', port, ...args, '--json']);
const produce = (port: string, ...args: string[]) => flashed(port, ...keys, ...args);
const produceFor = (chip: LockableChip, port: string) =>
  runCli(['flash', ...images(chip), ...locking, ...keys, '--port', port, ...confirmed, '--json']);
const keysFrom = (name: string) => ['--boot-key', at('boot.pem'), '--encryption-keys', at(name)];

/** A clock that is 25 times as fast, so that a board without power is noticed quickly. */
const hurry = 25;
const fast: Clock = {
  now: () => performance.now() * hurry,
  sleep: async (ms, signal) => {
    await sleep(ms / hurry, undefined, signal ? { signal } : {});
  },
};

/** As `produce`, in the library with the fast clock. Returns the code of the error, or null. */
async function produceFast(
  port: string,
  chip: LockableChip = 'esp32s3',
): Promise<{ error: string | null; complete: boolean }> {
  try {
    const result = await flash({
      images: images(chip),
      ports: [port],
      loader: { clock: fast },
      lock: {
        parts: lockParts,
        bootKeys: [at('boot.pem')],
        encryptionKeys: at('keys'),
        confirm: async (plan) => plan.mac,
      },
    });
    return { error: null, complete: (result as BoardLocked).complete };
  } catch (error) {
    if (error instanceof AiotError) return { error: error.code, complete: false };
    throw error;
  }
}

const lock = (port: string, ...args: string[]) =>
  runCli(['board', 'lock', '--port', port, ...args, '--json']);
const burnedBits = (file: string) =>
  existsSync(file) ? [...readFileSync(file).subarray(0, 24)].reduce((sum, byte) => sum + byte, 0) : 0;

/** Output of the chip after it starts from its flash. */
async function started({
  chip: name,
  flash,
  fuses,
}: {
  chip: LockableChip;
  flash: string;
  fuses: string;
}): Promise<string> {
  const chip = new SimulatedChip({
    chip: name,
    flash: readFileSync(flash),
    fuses: readFileSync(fuses),
    boot: 'run',
  });
  let output = '';
  chip.onOutput((bytes) => {
    output += Buffer.from(bytes).toString('latin1');
  });
  chip.reset('power');
  await sleep(20);
  chip.powerOff();
  return output;
}

const production = [
  'BLOCK_KEY0',
  'KEY_PURPOSE_0',
  'WR_DIS',
  'BLOCK_KEY1',
  'KEY_PURPOSE_1',
  'WR_DIS',
  'RD_DIS',
  'WR_DIS',
  'SPI_BOOT_CRYPT_CNT',
  'DIS_DOWNLOAD_MANUAL_ENCRYPT',
  'DIS_DOWNLOAD_ICACHE',
  'DIS_DOWNLOAD_DCACHE',
  'SECURE_BOOT_KEY_REVOKE1',
  'SECURE_BOOT_KEY_REVOKE2',
  'SECURE_BOOT_EN',
  'DIS_PAD_JTAG',
  'DIS_USB_JTAG',
  'DIS_DIRECT_BOOT',
  'ENABLE_SECURITY_DOWNLOAD',
];

/** The fuses of a locked board. An ESP32-C3 has no data cache that its loader could use. */
const fusesOf = (chip: LockableChip) =>
  chip === 'esp32s3' ? production : production.filter((fuse) => fuse !== 'DIS_DOWNLOAD_DCACHE');

describe.each(['esp32s3', 'esp32c3'] as const)('aiot flash --profile production, %s', (chip) => {
  const expected = fusesOf(chip);

  it('writes signed, encrypted images and locks the board, which then starts', async () => {
    const one = board(chip);
    const { code, json } = await produceFor(chip, one.port());
    expect(code).toBe(0);
    expect(json).toMatchObject({ complete: true, burned: expected.length, problem: null });
    const { steps } = json as BoardLocked;
    expect(steps.map(({ fuse }) => fuse)).toEqual(expected);
    const output = await started(one);
    expect(output).toContain('App version:      1.4.0');
    expect(output).toContain('Calling app_main() of app0');
    const flash = readFileSync(one.flash);
    expect(
      flash.subarray(0, 0x8000).includes(readFileSync(imageOf('plain-boot.bin', chip)).subarray(0, 64)),
    ).toBe(false);
    const again = await produceFor(chip, one.port());
    expect(again).toMatchObject({ code: 0, json: { complete: true, burned: 0 } });
    const read = await runCli(['board', 'read', '0', '0x1000', '--out', at('x'), '--port', one.port()]);
    expect(read.code).not.toBe(0);
  });

  it('starts after the power failed during any burn, or any request, and the command was repeated', {
    timeout: 600_000,
  }, async () => {
    const burns = long ? expected.map((_, burn) => burn) : [0, 8, expected.length - 1];
    const cuts = burns.map((burn) => `burn-cut after=${burn}`);
    // About 600 requests write registers; the data blocks of the flash follow.
    for (let request = 7; request < 560; request += long ? 31 : 300)
      cuts.push(`brownout op=9 after=${request}`);
    cuts.push('brownout op=3 after=1');
    for (const cut of cuts) {
      const one = board(chip);
      const first = await produceFast(one.port(cut), chip);
      expect({ cut, ...first }).toEqual({ cut, complete: false, error: expect.stringMatching(/^AIOT_/) });
      const second = await produceFast(one.port(), chip);
      expect({ cut, ...second }).toEqual({ cut, complete: true, error: null });
      expect(await started(one), cut).toContain('Calling app_main() of app0');
      rmSync(one.flash);
    }
  });
});

describe('aiot flash --profile production', () => {
  it('burns and writes nothing without --yes, or with another MAC', async () => {
    const one = board();
    const before = existsSync(at('other-keys'));
    const plan = await flashed(one.port(), ...keysFrom('other-keys'));
    expect(plan).toMatchObject({ code: 0, json: { complete: false, burned: 0, regions: [] } });
    expect(existsSync(at('other-keys'))).toBe(before);
    const wrong = await produce(one.port(), '--yes', '--mac', '24:0a:c4:00:01:11');
    expect(wrong).toMatchObject({ code: 2, json: { error: { code: 'AIOT_USAGE' } } });
    const silent = await produce(one.port(), '--yes');
    expect(silent).toMatchObject({ code: 2, json: { error: { code: 'AIOT_USAGE' } } });
    expect(silent.stdout).toContain('--mac');
    expect(burnedBits(one.fuses)).toBe(0);
  });

  it('rejects images that are not signed with the key, before anything is burned', async () => {
    const one = board();
    const plain = [`${at('boot.bin')}@0x0`, `${at('table.bin')}@0x8000`, `${at('plain-app.bin')}@0x10000`];
    const args = ['--profile', 'production', ...keys, '--port', one.port(), ...confirmed, '--json'];
    const unsigned = await runCli(['flash', ...plain, ...args]);
    expect(unsigned).toMatchObject({ code: 6, json: { error: { code: 'AIOT_LOCK_REFUSED' } } });
    expect(unsigned.stdout).toContain('the app in app0 is not signed');
    const others = ['--boot-key', at('other.pem'), '--encryption-keys', at('keys'), ...confirmed];
    const other = await flashed(one.port(), ...others);
    expect(other).toMatchObject({ code: 6, stdout: expect.stringContaining('not signed with a key of') });
    expect(burnedBits(one.fuses)).toBe(0);
  });

  it('writes an identity with an encrypted NVS, whose keys only the board can decrypt', async () => {
    const one = board();
    const folder = identity('secret', true);
    const { code, json } = await produce(one.port(), '--device', folder, ...confirmed);
    expect({ code, json }).toMatchObject({ code: 0, json: { complete: true, device: 'secret' } });
    const flash = readFileSync(one.flash);
    expect(flash.includes('PRIVATE KEY')).toBe(false);
    const stored = flash.subarray(keysOffset, keysOffset + 0x1000);
    expect(() => readNvsKeys(stored)).toThrow();
    const secret = readFileSync(at(`keys/${mac.replaceAll(':', '')}.key`));
    const own = readNvsKeys(cryptFlash(stored, { secret, address: keysOffset, decrypt: true }));
    const { entries } = readNvs(decryptNvs(flash.subarray(0x9000, 0xe000), own));
    const key = entries.find((entry) => entry.namespace === 'aiot' && entry.key === 'key');
    expect(key?.value).toContain('BEGIN PRIVATE KEY');
  });

  const plainNvs = () => readFileSync(join(identity(`plain-${count}`, false), 'nvs.bin'));
  const wifiNvs = (key: string) => {
    const value = key === 'password' ? 'plant password' : '';
    return writeNvs([{ namespace: 'wifi', key, type: 'string', value }], { size: 0x5000, version: 2 });
  };
  // The state of an entry that the program deleted: its bits are cleared, and its bytes remain.
  const deletedNvs = () => plainNvs().fill(0, 32, 64);
  const lateTable = 'nvs,data,nvs,0x90000,0x5000,\napp0,app,factory,0x10000,0x20000,\n';
  const lateTableBytes = () => writePartitionTable(parsePartitionsCsv(lateTable));
  const keysOnly = () => readFileSync(join(identity(`keys-${count}`, true), 'nvs_keys.bin'));

  it.each([
    ['an identity', () => [[0x9000, plainNvs()]], 'the private key'],
    ['an identity that was deleted', () => [[0x9000, deletedNvs()]], 'the private key'],
    ['a Wi-Fi password', () => [[0x9000, wifiNvs('password')]], 'a Wi-Fi password'],
    [
      'an identity where an earlier table had it',
      () => [
        [0x8000, lateTableBytes()],
        [0x90000, plainNvs()],
      ],
      'the private key',
    ],
    [
      'keys of an NVS',
      () => [
        [0x8000, lateTableBytes()],
        [keysOffset, keysOnly()],
      ],
      'the keys of the NVS',
    ],
  ] as [string, () => [number, Uint8Array][], string][])(
    'refuses a board that stores %s in plain text',
    async (_what, parts, secret) => {
      const one = board();
      const flash = Buffer.alloc(4 << 20, 0xff);
      for (const [offset, bytes] of parts()) flash.set(bytes, offset);
      writeFileSync(one.flash, flash);
      writeFileSync(at('with-keys.bin'), writePartitionTable(parsePartitionsCsv(tableWithKeys)));
      const parted = [`${at('boot.bin')}@0x0`, `${at('with-keys.bin')}@0x8000`, `${at('app.bin')}@0x10000`];
      const args = [...locking, ...keys, '--port', one.port(), ...confirmed, '--json'];
      const { code, stdout } = await runCli(['flash', ...parted, ...args]);
      expect({ code, stdout }).toMatchObject({
        code: 6,
        stdout: expect.stringContaining('AIOT_LOCK_REFUSED'),
      });
      expect(stdout).toContain(`anyone could read ${secret} from the flash`);
      expect(stdout).toContain('--encrypt-nvs');
      expect(readFileSync(one.flash).equals(flash)).toBe(true);
      expect(burnedBits(one.fuses)).toBe(0);
    },
  );

  it('refuses an identity whose NVS is not encrypted, before anything is written', async () => {
    const one = board();
    const { code, json } = await produce(one.port(), '--device', identity('plain', false), ...confirmed);
    expect({ code, json }).toMatchObject({ code: 6, json: { error: { code: 'AIOT_LOCK_REFUSED' } } });
    expect(existsSync(one.flash) && readFileSync(one.flash).some((byte) => byte !== 0xff)).toBe(false);
    expect(burnedBits(one.fuses)).toBe(0);
  });

  it('accepts NVS entries that are not secret', async () => {
    const one = board();
    const flash = Buffer.alloc(4 << 20, 0xff);
    flash.set(wifiNvs('ssid'), 0x9000);
    writeFileSync(one.flash, flash);
    expect(await produce(one.port(), ...confirmed)).toMatchObject({ code: 0, json: { complete: true } });
  });

  it.each([
    ['several boards', ['--all']],
    ['a watch', ['--watch']],
  ])('rejects %s', async (_what, args) => {
    expect(await produce(board().port(), ...args)).toMatchObject({ code: 2 });
  });

  it('requires --profile for the locking flags', async () => {
    const { code, stderr } = await runCli(['flash', ...images(), '--boot-key', at('boot.pem')]);
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--profile production'),
    });
  });
});

describe('aiot board lock', () => {
  it('refuses a board that would no longer start', async () => {
    const one = board();
    const { code, json } = await lock(one.port(), ...keys, ...confirmed);
    expect({ code, json }).toMatchObject({ code: 6, json: { error: { code: 'AIOT_LOCK_REFUSED' } } });
    const plan = await lock(one.port(), ...keys);
    expect(plan).toMatchObject({ code: 6, json: { problem: expect.stringContaining('bootloader') } });
    expect(burnedBits(one.fuses)).toBe(0);
  });

  it('refuses a board whose identity would stay readable', async () => {
    const one = board();
    expect((await produceFast(one.port('burn-cut after=0'))).complete).toBe(false);
    const flash = readFileSync(one.flash);
    flash.set(readFileSync(join(identity('late', false), 'nvs.bin')), 0x9000);
    writeFileSync(one.flash, flash);
    const plan = await lock(one.port(), ...keys);
    expect(plan).toMatchObject({ code: 6, json: { problem: expect.stringContaining('the private key') } });
    const { code, stdout } = await lock(one.port(), ...keys, ...confirmed);
    expect({ code, stdout }).toMatchObject({ code: 6, stdout: expect.stringContaining('--encrypt-nvs') });
    expect((await lock(one.port(), '--only', 'jtag', ...confirmed)).code).toBe(0);
  });

  it('locks single parts, and continues with the others', async () => {
    const one = board();
    const jtag = await lock(one.port(), '--only', 'jtag', ...confirmed);
    expect(jtag).toMatchObject({ code: 0, json: { complete: true, burned: 3 } });
    const rest = await produce(one.port(), ...confirmed);
    expect(rest).toMatchObject({ code: 0, json: { burned: production.length - 3 } });
  });

  it('burns the HMAC key of an NVS, also if the power fails during any of its burns', async () => {
    writeFileSync(at('nvs.key'), Buffer.alloc(32, 0x5a));
    writeFileSync(at('other-nvs.key'), Buffer.alloc(32, 0x33));
    const burned = (port: string, file: string) =>
      lockBoard({
        ...{ port, parts: ['nvs-key'], bootKeys: [], encryptionKeys: undefined, nvsKey: at(file) },
        loader: {
          chip: 'auto',
          baud: 460_800,
          stub: true,
          before: 'default-reset',
          after: 'hard-reset',
          clock: fast,
        },
        confirm: async (plan) => plan.mac,
      });
    for (let after = 0; after < 4; after++) {
      const one = board();
      await expect(burned(one.port(`burn-cut after=${after}`), 'nvs.key')).rejects.toThrow(AiotError);
      const locked = await burned(one.port(), 'nvs.key');
      expect(locked).toMatchObject({ complete: true });
      expect(JSON.stringify(locked)).not.toContain('5a5a');
      const fuses = readFileSync(one.fuses);
      expect(fuses.subarray(9 * 44, 9 * 44 + 32).equals(Buffer.alloc(32, 0x5a))).toBe(true);
      expect(await burned(one.port(), 'nvs.key')).toMatchObject({ burned: 0 });
    }
    const begun = board();
    await expect(burned(begun.port('burn-cut after=1'), 'other-nvs.key')).rejects.toThrow(AiotError);
    const nvsKey = (file: string) => lock(begun.port(), '--only', 'nvs-key', '--nvs-key', at(file));
    expect(await nvsKey('nvs.key')).toMatchObject({
      code: 6,
      stdout: expect.stringContaining('block 5 contains another key'),
    });
    writeFileSync(at('short.key'), 'short');
    expect((await nvsKey('short.key')).stdout).toContain('expected an HMAC key of 32 bytes, got 5');
  });

  it('locks a board whose NVS is encrypted with keys from its HMAC key, and leaves no key in the flash', async () => {
    const one = board();
    writeFileSync(at('board-nvs.key'), Buffer.alloc(32, 0x77));
    const folder = identity('hmac', false, nvsKeysOfHmac(readFileSync(at('board-nvs.key'))));
    const args = ['--device', folder, '--nvs-key', at('board-nvs.key'), ...confirmed];
    const { code, json } = await produce(one.port(), ...args);
    expect({ code, json }).toMatchObject({ code: 0, json: { complete: true, device: 'hmac' } });
    const flash = readFileSync(one.flash);
    expect(flash.subarray(keysOffset, keysOffset + 0x1000).every((byte) => byte === 0xff)).toBe(true);
    writeFileSync(at('hmac-nvs.bin'), flash.subarray(0x9000, 0xe000));
    const read = ['firmware', 'nvs', 'read', at('hmac-nvs.bin'), '--hmac-key', at('board-nvs.key'), '--json'];
    const found = (await runCli(read)).json as { entries: { key: string; value: unknown }[] };
    expect(found.entries.find(({ key }) => key === 'key')?.value).toContain('BEGIN PRIVATE KEY');
    expect(flash.includes('PRIVATE KEY')).toBe(false);
  });

  it.each([
    ['the HMAC key of another board', ['--nvs-key', at('wrong-nvs.key')], 'does not decrypt nvs'],
    ['no HMAC key', [], '--nvs-key FILE'],
  ])('refuses an identity with %s before anything is written or burned', async (what, args, why) => {
    writeFileSync(at('right-nvs.key'), Buffer.alloc(32, 0x11));
    writeFileSync(at('wrong-nvs.key'), Buffer.alloc(32, 0x12));
    const name = what.replaceAll(' ', '-');
    const folder = identity(name, false, nvsKeysOfHmac(readFileSync(at('right-nvs.key'))));
    const one = board();
    const { code, stdout } = await produce(one.port(), '--device', folder, ...args, ...confirmed);
    expect({ code, stdout }).toMatchObject({ code: 6, stdout: expect.stringContaining(why) });
    expect(burnedBits(one.fuses)).toBe(0);
    expect(readFileSync(one.flash).every((byte) => byte === 0xff)).toBe(true);
    // The same for a board to which the images were written by other means, and for one whose NVS is not encrypted.
    const put = (from: string) => {
      const flash = readFileSync(one.flash);
      for (const [file, offset] of [
        ['partitions.bin', 0x8000],
        ['nvs.bin', 0x9000],
      ] as const)
        flash.set(readFileSync(join(from, file)), offset);
      writeFileSync(one.flash, flash);
    };
    const burn = (key: string) => lock(one.port(), '--only', 'nvs-key', '--nvs-key', at(key), ...confirmed);
    put(identity(`${name}-plain`, false));
    expect((await burn('right-nvs.key')).stdout).toContain('does not decrypt nvs');
    put(folder);
    expect((await burn('wrong-nvs.key')).stdout).toContain('does not decrypt nvs');
    expect(burnedBits(one.fuses)).toBe(0);
    expect(await burn('right-nvs.key')).toMatchObject({ code: 0, json: { complete: true, warnings: [] } });
    // The key can no longer be read from the board.
    expect(await burn('wrong-nvs.key')).toMatchObject({
      code: 0,
      json: { burned: 0, warnings: [expect.stringContaining('which cannot be read')] },
    });
  });

  it('burns an HMAC key only if its option is on the command line, and among the parts', async () => {
    writeFileSync(at('environment.key'), Buffer.alloc(32, 0x13));
    const one = board();
    process.env.AIOT_NVS_KEY = at('environment.key');
    try {
      const { json } = await lock(one.port(), ...keys);
      expect((json as BoardLocked).steps.filter(({ part }) => part === 'nvs-key')).toEqual([]);
      const { code } = await runCli(['flash', ...images(), '--port', one.port(), '--json']);
      expect(code).toBe(0);
    } finally {
      delete process.env.AIOT_NVS_KEY;
    }
    const ignored = ['--only', 'jtag', '--nvs-key', at('environment.key')];
    expect(await lock(one.port(), ...ignored)).toMatchObject({
      code: 2,
      stdout: expect.stringContaining('--only nvs-key'),
    });
  });

  it('refuses a board whose encryption key is unknown', async () => {
    const one = board();
    expect((await produceFast(one.port('burn-cut after=8'))).complete).toBe(false);
    const { code, stdout } = await flashed(one.port(), ...keysFrom('lost'), ...confirmed);
    expect({ code, stdout }).toMatchObject({
      code: 6,
      stdout: expect.stringContaining('240ac4000110.key is missing'),
    });
  });

  it("refuses a board with another party's secure boot key", async () => {
    const one = board();
    expect((await produceFast(one.port('burn-cut after=14'))).complete).toBe(false);
    const copy = board();
    copyFileSync(one.fuses, copy.fuses);
    const { code, stdout } = await lock(copy.port(), '--only', 'secure-boot', '--boot-key', at('other.pem'));
    expect({ code, stdout }).toMatchObject({ code: 6, stdout: expect.stringContaining('AIOT_LOCK_REFUSED') });
  });

  it.each([
    ['another chip', ['--port', 'simulated:esp32', '--only', 'jtag'], 6],
    ['no key', ['--port', 'simulated:esp32s3', '--only', 'secure-boot'], 2],
    ['no folder', ['--port', 'simulated:esp32s3', '--only', 'flash-encryption'], 2],
    ['a locked chip', ['--port', 'simulated:esp32s3?fault=secure-download', '--only', 'jtag'], 5],
  ])('rejects %s', async (_what, args, code) => {
    expect((await runCli(['board', 'lock', ...args, '--json'])).code).toBe(code);
  });
});

describe('aiot flash on a board with an anti-rollback version', () => {
  it.each(['esp32s3', 'esp32c3'] as const)(
    'refuses an older app on an %s before anything is written, and accepts a current one',
    async (chip) => {
      const one = board(chip);
      // A secure version counts bits, from bit 14 of word 4.
      const fuses = Buffer.alloc(484);
      fuses.writeUInt32LE(0b111 << 14, 16);
      for (let block = 1; block < 11; block++)
        fuses.set(checkBytesOf(fuses.subarray(block * 44, block * 44 + 32)), block * 44 + 32);
      writeFileSync(one.fuses, fuses);
      const app = (version: number) => {
        const name = at(`${chip}-${version}.bin`);
        const starts = described('motor', '1.4.0', version);
        writeFileSync(name, espImage({ chip, address: 0x3c00_0020, starts, bytes: 5000 }));
        return `${name}@0x10000`;
      };
      const flashing = (version: number, ...args: string[]) =>
        runCli(['flash', app(version), '--port', one.port(), ...args, '--json']);
      const refused = await flashing(2);
      expect(refused).toMatchObject({ code: 6, json: { error: { code: 'AIOT_FLASH_REFUSED' } } });
      expect(refused.stdout).toContain("the chip's fuses require at least 3");
      expect(readFileSync(one.flash).every((byte) => byte === 0xff)).toBe(true);
      expect(await flashing(3)).toMatchObject({ code: 0, json: { overridden: [] } });
      expect(await flashing(0, '--force')).toMatchObject({
        code: 0,
        json: { overridden: [{ rule: 'secure-version' }] },
      });
    },
  );
});

it.each([
  ['esp32s2', 18],
  ['esp32c6', 18],
  ['esp32h2', 17],
] as const)(
  'an %s, whose power fails during any burn, has the same fuses after the lock is repeated',
  async (chip, burns) => {
    const digest = new Uint8Array(32).map((_, index) => index + 1);
    const whole = fuseChip(chip);
    const { burned } = await whole.lock(digest);
    expect(burned).toBe(burns);
    for (let cut = 0; cut < burns; cut++) {
      const board = fuseChip(chip);
      copyFileSync(whole.keyFile, board.keyFile);
      await expect(board.lock(digest, cut)).rejects.toThrow('power failed');
      expect((await board.lock(digest)).complete).toBe(true);
      expect(Buffer.compare(board.array.save(), whole.array.save())).toBe(0);
      board.remove();
    }
    whole.remove();
  },
);

it('the check bytes of a block are zero for zeros, and linear', () => {
  const [a, b] = [new Uint8Array(32).map((_, i) => i * 7), new Uint8Array(32).map((_, i) => i * i)];
  const sum = checkBytesOf(a.map((byte, i) => byte ^ b[i]!));
  expect([...checkBytesOf(new Uint8Array(32))]).toEqual(new Array(12).fill(0));
  expect([...sum]).toEqual([...checkBytesOf(a)].map((byte, i) => byte ^ checkBytesOf(b)[i]!));
});
