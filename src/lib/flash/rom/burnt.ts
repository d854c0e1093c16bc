import { AiotError } from '../../core/index.js';
import { parseFault } from './control.js';
import type { ChipSecurity } from './efuse.js';
import { type Fault, type FaultKind, faultKinds } from './faults.js';

/** What is burnt into a chip's fuses, by the names that stand among its faults. */
const burnt = {
  'secure-boot': { secureBoot: true },
  'flash-encryption': { flashEncryption: true },
  'secure-download': { secureDownload: true },
  'no-download': { downloadDisabled: true },
} as const satisfies Record<string, Partial<ChipSecurity>>;
type BurntName = keyof typeof burnt;

/** All that can be said to be wrong when a chip is made; what is burnt comes last, and only then. */
export const startFaultNames: readonly (FaultKind | BurntName)[] = [
  ...faultKinds,
  ...(Object.keys(burnt) as BurntName[]),
];

/** Takes faults as they are written (`noise rate=0.01`, `secure-boot`) apart: what happens, what is burnt. @throws AIOT_USAGE */
export function parseStartFaults(texts: readonly string[]): {
  faults: Fault[];
  security: Partial<ChipSecurity>;
} {
  const faults: Fault[] = [];
  const security: Partial<ChipSecurity> = {};
  for (const text of texts) {
    const [name = '', ...words] = text.trim().split(/\s+/);
    if (!isBurnt(name)) faults.push(parseFault([name, ...words], startFaultNames));
    else if (words.length === 0) Object.assign(security, burnt[name]);
    else
      throw new AiotError(
        'AIOT_USAGE',
        `fault ${name} is there from the start: leave ${words.join(' ')} out`,
      );
  }
  return { faults, security };
}

const isBurnt = (name: string): name is BurntName => Object.hasOwn(burnt, name);
