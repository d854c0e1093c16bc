import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { securityFuses, setBits } from '../../src/lib/formats/efuse.js';
import { chipNames } from '../../src/lib/formats/esp-image/chips.js';
import { long } from '../support/every-tensor.js';
import { describeReal, python } from '../support/real.js';

interface TheirFuse {
  raw_value: string;
  readable: boolean;
  writeable: boolean;
}

/** PyPI's espefuse burns fuses of a virtual chip and reports their meaning. */
describeReal('esptool', 'security fuses compared with espefuse', () => {
  const espefuse = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(python('esptool'), ['-m', 'espefuse', ...args], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    if (status !== 0) throw new Error(`espefuse ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };

  it.each(chipNames)(
    'have the same values on an %s with random fuses',
    async (chip) => {
      const folder = await mkdtemp(join(tmpdir(), 'aiot-efuse-'));
      try {
        for (let seed = 1; seed <= (long ? 20 : 2); seed++) {
          const random = seededRandom(seed);
          const words = new Array<number>(chip === 'esp32c2' ? 2 : chip === 'esp32' ? 7 : 6).fill(0);
          const bits: string[] = [];
          const isOldP4 = chip === 'esp32p4' && seed % 2 === 0;
          for (let bit = 0; bit < words.length * 32; bit++) {
            // An ESP32 has its address in words 1 and 2 and its coding scheme in the lowest bits of word 6.
            if (chip === 'esp32' && ((bit >= 32 && bit < 96) || bit === 192 || bit === 193)) continue;
            if (isOldP4 && isPurposeHigh(bit)) continue;
            if (random() < 0.6) continue;
            words[bit >>> 5] = (words[bit >>> 5] as number) | (1 << (bit & 31));
            bits.push(String(bit));
          }
          const file = join(folder, `${seed}.bin`);
          const virtual = ['--virt', '--chip', chip, '--path-efuse-file', file];
          // Revision v3.0, in which the purposes have five bits. The revision is in bits 68 and 69 of block 1.
          if (chip === 'esp32p4' && !isOldP4) {
            espefuse(...virtual, '--do-not-confirm', 'burn-bit', 'BLOCK1', '68', '69');
          }
          espefuse(...virtual, '--do-not-confirm', 'burn-bit', 'BLOCK0', ...bits);
          const text = espefuse(...virtual, 'summary', '--format', 'json');
          const theirs = JSON.parse(text.slice(text.indexOf('{'))) as Record<string, TheirFuse>;
          const ours = securityFuses(chip, words);
          expect(ours, `${chip}, seed ${seed}`).toEqual(fromTheirs(theirs, ours));
        }
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    300_000,
  );
});

/** Whether this bit of block 0 is the highest bit of a purpose on an ESP32-P4 since v3.0. Earlier revisions reserve it. */
const isPurposeHigh = (bit: number) => (bit >= 155 && bit <= 159) || bit === 164;

/** Converts their report to our form. Only the purposes' names are taken from ours, after their numbers were compared. */
function fromTheirs(theirs: Record<string, TheirFuse>, ours: ReturnType<typeof securityFuses>) {
  const number = (...names: string[]) => {
    const name = names.find((known) => known in theirs);
    return name === undefined ? null : Number(theirs[name]?.raw_value);
  };
  const on = (...names: string[]) => (number(...names) ?? 0) !== 0;
  const usb = (name: string) => (number(name) === null ? null : on(name) ? 'disabled' : 'enabled');
  const countName = 'SPI_BOOT_CRYPT_CNT' in theirs ? 'SPI_BOOT_CRYPT_CNT' : 'FLASH_CRYPT_CNT';
  const count = setBits(number(countName) ?? 0);
  const most = countName === 'FLASH_CRYPT_CNT' ? 7 : 3;
  const odd = count % 2 === 1;
  const soft = setBits(number('SOFT_DIS_JTAG') ?? 0) % 2 === 1;
  const purposes = ours.keys.map((_, block) => {
    const high = number(`KEY_PURPOSE_${block}_H`) === 1 ? 0x10 : 0;
    const low = number(`KEY_PURPOSE_${block}`);
    return low === null ? null : low | high;
  });
  return {
    secureBoot: on('SECURE_BOOT_EN', 'ABS_DONE_1') ? 2 : on('ABS_DONE_0') ? 1 : null,
    aggressiveRevoke: on('SECURE_BOOT_AGGRESSIVE_REVOKE'),
    revoked: [0, 1, 2].flatMap((key) => {
      const value = number(`SECURE_BOOT_KEY_REVOKE${key}`);
      return value === null ? [] : [value !== 0];
    }),
    encryption: {
      enabled: odd,
      count,
      permanent: odd && (count === most || theirs[countName]?.writeable === false),
    },
    padJtag: on('DIS_PAD_JTAG', 'HARD_DIS_JTAG', 'JTAG_DISABLE') ? 'disabled' : soft ? 'soft' : 'enabled',
    usbJtag: usb('DIS_USB_JTAG'),
    download: on('DIS_DOWNLOAD_MODE', 'UART_DOWNLOAD_DIS')
      ? 'disabled'
      : on('ENABLE_SECURITY_DOWNLOAD')
        ? 'secure'
        : 'open',
    manualEncryption: !(
      on('DIS_DOWNLOAD_MANUAL_ENCRYPT') ||
      (on('DISABLE_DL_ENCRYPT') && on('DISABLE_DL_DECRYPT'))
    ),
    directBoot:
      number('DIS_DIRECT_BOOT', 'DIS_LEGACY_SPI_BOOT') === null
        ? null
        : !on('DIS_DIRECT_BOOT', 'DIS_LEGACY_SPI_BOOT'),
    keys: purposes.map((purpose, block) => {
      const key = theirs[`BLOCK_KEY${block}`];
      return {
        block,
        purpose: expect.stringMatching(purpose === 0 ? /^user$/ : purposeOf(purpose ?? 0)),
        readProtected: key?.readable === false,
        writeProtected: key?.writeable === false,
      };
    }),
    secureVersion: 'ABS_DONE_0' in theirs ? null : setBits(number('SECURE_VERSION') ?? 0),
  };
}

/** espefuse's names of the purposes, in our spelling. Sources: its KEY_PURPOSES; numbers that it does not list are reserved. */
function purposeOf(purpose: number): RegExp {
  const names: Record<number, string> = {
    1: 'ecdsa-p256',
    2: 'xts-aes-256-1',
    3: 'xts-aes-256-2',
    4: 'xts-aes-128',
    5: 'hmac-down-all',
    6: 'hmac-jtag',
    7: 'hmac-digital-signature',
    8: 'hmac-up',
    9: 'secure-boot-0',
    10: 'secure-boot-1',
    11: 'secure-boot-2',
  };
  return new RegExp(`^${names[purpose] ?? '[a-z0-9-]+'}$`);
}
