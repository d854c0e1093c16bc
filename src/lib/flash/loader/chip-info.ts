import { chipTitle, type Esptool, targetOf } from './esptool.js';
import type { Identity } from './identify.js';
import type { ChipInfo } from './types.js';

/**
 * Everything about a chip that its fuses tell; the flash is looked at later (`flash-chip.ts`). Fuses are remembered until the
 * caller ends that: choosing a stub asks for them again.
 */
export async function readChipInfo(esptool: Esptool, identity: Identity): Promise<Omit<ChipInfo, 'flash'>> {
  const { chip, security } = identity;
  esptool.chip = await targetOf(chip);
  const secureDownload = ((security?.flags ?? 0) & 0b100) !== 0 || !identity.registers;
  if (secureDownload) {
    return {
      chip,
      description: `${chipTitle(chip)} in secure download mode`,
      features: [],
      crystalMHz: 0,
      mac: '',
      security: { ...fromInfo(identity), secureDownload },
    };
  }
  esptool.remember(true);
  const { chip: target } = esptool;
  const description = await target.getChipDescription(esptool);
  return {
    chip,
    description: chip === 'esp32' ? await esp32Revision(esptool, description) : description,
    features: (await target.getChipFeatures(esptool)).map((feature) => feature.trim()),
    crystalMHz: await target.getCrystalFreq(esptool),
    mac: (await target.readMac(esptool)).toLowerCase(),
    security: { ...(await readFuses(esptool, identity)), secureDownload },
  };
}

type Fuses = Pick<ChipInfo['security'], 'secureBoot' | 'flashEncryption'>;

function fromInfo({ security }: Identity): Fuses {
  return {
    secureBoot: ((security?.flags ?? 0) & 1) !== 0,
    flashEncryption: isOdd(security?.cryptCount ?? 0),
  };
}

/** Fuses and security info say the same; either one counts. Source: eFuse tables of the technical reference manuals. */
async function readFuses(esptool: Esptool, identity: Identity): Promise<Fuses> {
  const told = fromInfo(identity);
  const { chip } = identity;
  if (chip === 'esp32') {
    const base = 0x3ff5_a000;
    const cryptCount = ((await esptool.readReg(base)) >>> 20) & 0x7f;
    const word6 = await esptool.readReg(base + 0x18);
    return { secureBoot: (word6 & 0b11_0000) !== 0, flashEncryption: isOdd(cryptCount) };
  }
  const bases: Partial<Record<ChipInfo['chip'], number>> = { esp32c3: 0x6000_8800, esp32s3: 0x6000_7000 };
  const base = bases[chip];
  if (base === undefined) return told;
  const cryptCount = ((await esptool.readReg(base + 0x34)) >>> 18) & 0b111;
  const secureBoot = ((await esptool.readReg(base + 0x38)) >>> 20) & 1;
  return {
    secureBoot: told.secureBoot || secureBoot === 1,
    flashEncryption: told.flashEncryption || isOdd(cryptCount),
  };
}

function isOdd(count: number): boolean {
  let odd = false;
  for (let rest = count; rest !== 0; rest >>>= 1) odd = odd !== ((rest & 1) === 1);
  return odd;
}

/** esptool-js names an ESP32 by its major revision alone; esptool and the data sheets write v3.1. */
async function esp32Revision(esptool: Esptool, description: string): Promise<string> {
  const [word3, word5] = [await esptool.readReg(0x3ff5_a00c), await esptool.readReg(0x3ff5_a014)];
  const date = await esptool.readReg(0x3ff6_607c);
  const bits = ((word3 >>> 15) & 1) | (((word5 >>> 20) & 1) << 1) | ((date >>> 31) << 2);
  const major =
    new Map([
      [0b001, 1],
      [0b011, 2],
      [0b111, 3],
    ]).get(bits) ?? 0;
  return `${description.replace(/ \(revision .*$/, '')} (revision v${major}.${(word5 >>> 24) & 0b11})`;
}
