import type { RegisterTable } from '../../chip.js';

/** Registers of the LIS3MDL. Several bytes are read with bit 7 of the first one's address set. */
export const registers = {
  WHO_AM_I: { address: 0x0f },
  CTRL_REG1: { address: 0x20, bits: { TEMP_EN: 7, OM: [6, 5], DO: [4, 2], FAST_ODR: 1, ST: 0 } },
  CTRL_REG2: { address: 0x21, bits: { FS: [6, 5], REBOOT: 3, SOFT_RST: 2 } },
  CTRL_REG3: { address: 0x22, bits: { LP: 5, SIM: 2, MD: [1, 0] } },
  CTRL_REG4: { address: 0x23, bits: { OMZ: [3, 2], BLE: 1 } },
  CTRL_REG5: { address: 0x24, bits: { FAST_READ: 7, BDU: 6 } },
  STATUS_REG: {
    address: 0x27,
    bits: { ZYXOR: 7, ZOR: 6, YOR: 5, XOR: 4, ZYXDA: 3, ZDA: 2, YDA: 1, XDA: 0 },
  },
  OUT_X_L: { address: 0x28 },
  TEMP_OUT_L: { address: 0x2e },
} as const satisfies RegisterTable;

/** The same as numbers. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };

/** On a register's address: the next byte is of the next register. */
export const increment = 0x80;
