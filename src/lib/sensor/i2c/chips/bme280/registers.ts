import type { RegisterTable } from '../../chip.js';

/** The registers of the BME280 (Bosch, BME280_SensorAPI). A burst read steps on, a write does not. */
export const registers = {
  CALIBRATION_1: { address: 0x88 },
  ID: { address: 0xd0 },
  RESET: { address: 0xe0 },
  CALIBRATION_2: { address: 0xe1 },
  CTRL_HUM: { address: 0xf2, bits: { osrs_h: [2, 0] } },
  STATUS: { address: 0xf3, bits: { measuring: 3, im_update: 0 } },
  CTRL_MEAS: { address: 0xf4, bits: { osrs_t: [7, 5], osrs_p: [4, 2], mode: [1, 0] } },
  CONFIG: { address: 0xf5, bits: { t_sb: [7, 5], filter: [4, 2], spi3w_en: 0 } },
  DATA: { address: 0xf7 },
} as const satisfies RegisterTable;

/** The same as numbers. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };
