import type { RegisterTable } from '../../chip.js';

/** The registers of the ADXL345, as far as they are used here (Analog Devices, data sheet). */
export const registers = {
  DEVID: { address: 0x00 },
  OFSX: { address: 0x1e },
  OFSY: { address: 0x1f },
  OFSZ: { address: 0x20 },
  BW_RATE: { address: 0x2c, bits: { LOW_POWER: 4, Rate: [3, 0] } },
  POWER_CTL: { address: 0x2d, bits: { Link: 5, AUTO_SLEEP: 4, Measure: 3, Sleep: 2, Wakeup: [1, 0] } },
  INT_ENABLE: { address: 0x2e },
  INT_MAP: { address: 0x2f },
  INT_SOURCE: { address: 0x30, bits: { DATA_READY: 7, Watermark: 1, Overrun: 0 } },
  DATA_FORMAT: {
    address: 0x31,
    bits: { SELF_TEST: 7, SPI: 6, INT_INVERT: 5, FULL_RES: 3, Justify: 2, Range: [1, 0] },
  },
  DATAX0: { address: 0x32 },
  FIFO_CTL: { address: 0x38, bits: { FIFO_MODE: [7, 6], Trigger: 5, Samples: [4, 0] } },
  FIFO_STATUS: { address: 0x39, bits: { FIFO_TRIG: 7, Entries: [5, 0] } },
} as const satisfies RegisterTable;

/** The same as numbers. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };
