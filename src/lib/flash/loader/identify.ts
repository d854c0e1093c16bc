import { AiotError } from '../../core/index.js';
import { type ChipName, chipOfId } from '../../formats/index.js';
import { hex, op, quick, words } from './commands.js';
import { allChips, chipOfMagic } from './esptool.js';
import { type Exchange, Refusal } from './exchange.js';

/** What GET_SECURITY_INFO tells; null from an ESP32, which does not know the request. */
export interface SecurityInfo {
  /** Bit 0 secure boot, bit 2 secure download mode. Source: esptool, "get-security-info". */
  flags: number;
  /** Flash is encrypted while the number of ones is odd. */
  cryptCount: number;
  /** Null from an ESP32-S2. */
  chipId: number | null;
}

export interface Identity {
  chip: ChipName;
  security: SecurityInfo | null;
  /** Registers can be read: not in secure download mode. */
  registers: boolean;
}

const magicAddress = 0x4000_1000;

/**
 * Which chip answers. The two that do not tell their number are known by a magic word; asking for it first also spares
 * an ESP32 the eightfold answer to a request that it does not know.
 *
 * @throws AIOT_CHIP_UNKNOWN, AIOT_CHIP_MISMATCH
 */
export async function identify(exchange: Exchange, expected: ChipName | 'auto'): Promise<Identity> {
  const magic = await readMagic(exchange);
  const byMagic = magic === null ? null : chipOfMagic(magic);
  const security = byMagic === 'esp32' ? null : await readSecurity(exchange);
  const found =
    byMagic ??
    (typeof security?.chipId === 'number' ? chipOfId(security.chipId) : byRefusals(magic, security));
  const { address } = exchange.wire.line;
  if (found === null && expected === 'auto') {
    const number = security?.chipId ?? magic;
    const shown = number === null ? '' : `: it calls itself ${hex(number)}`;
    throw new AiotError('AIOT_CHIP_UNKNOWN', `the chip at ${address} is none that is known here${shown}`, {
      next: `Say which it is with --chip (${allChips()}).`,
      endpoint: address,
    });
  }
  if (found !== null && expected !== 'auto' && found !== expected) {
    throw new AiotError(
      'AIOT_CHIP_MISMATCH',
      `expected the chip at ${address} to be ${expected}, got ${found}`,
      {
        endpoint: address,
      },
    );
  }
  const chip = found ?? (expected as ChipName);
  return { chip, security, registers: magic !== null };
}

/** Without registers: secure download mode, where an ESP32 refuses both questions and an S2 tells no number. */
function byRefusals(magic: number | null, security: SecurityInfo | null): ChipName | null {
  if (magic !== null) return null;
  return security === null ? 'esp32' : 'esp32s2';
}

async function readMagic(exchange: Exchange): Promise<number | null> {
  try {
    return (await exchange.ask({ op: op.readReg, data: words(magicAddress), ...quick })).value;
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

async function readSecurity(exchange: Exchange): Promise<SecurityInfo | null> {
  try {
    const { data } = await exchange.ask({ op: op.securityInfo, expect: [20, 12], ...quick });
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    return {
      flags: view.getUint32(0, true),
      cryptCount: view.getUint8(4),
      chipId: data.length < 20 ? null : view.getUint32(12, true),
    };
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}
