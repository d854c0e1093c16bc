import type { RegisterTable } from '../../chip.js';

/** The user bank of the LSM6DSOX, as far as it is used here (ST, lsm6dsox-pid). */
export const registers = {
  FIFO_CTRL1: { address: 0x07, bits: { WTM_7_0: [7, 0] } },
  FIFO_CTRL2: { address: 0x08, bits: { STOP_ON_WTM: 7, FIFO_COMPR_RT_EN: 6, ODRCHG_EN: 4, WTM_8: 0 } },
  FIFO_CTRL3: { address: 0x09, bits: { BDR_GY: [7, 4], BDR_XL: [3, 0] } },
  FIFO_CTRL4: { address: 0x0a, bits: { DEC_TS_BATCH: [7, 6], ODR_T_BATCH: [5, 4], FIFO_MODE: [2, 0] } },
  INT1_CTRL: { address: 0x0d, bits: { FIFO_FULL: 5, FIFO_OVR: 4, FIFO_TH: 3 } },
  WHO_AM_I: { address: 0x0f },
  CTRL1_XL: { address: 0x10, bits: { ODR_XL: [7, 4], FS_XL: [3, 2], LPF2_XL_EN: 1 } },
  CTRL2_G: { address: 0x11, bits: { ODR_G: [7, 4], FS_G: [3, 1] } },
  CTRL3_C: { address: 0x12, bits: { BOOT: 7, BDU: 6, IF_INC: 2, SW_RESET: 0 } },
  CTRL4_C: { address: 0x13, bits: { SLEEP_G: 6, DRDY_MASK: 3, I2C_disable: 2 } },
  CTRL5_C: { address: 0x14, bits: { ROUNDING: [6, 5], ST_G: [3, 2], ST_XL: [1, 0] } },
  CTRL9_XL: { address: 0x18, bits: { I3C_DISABLE: 1 } },
  STATUS_REG: { address: 0x1e, bits: { TDA: 2, GDA: 1, XLDA: 0 } },
  OUT_TEMP_L: { address: 0x20 },
  OUTX_L_G: { address: 0x22 },
  OUTX_L_A: { address: 0x28 },
  FIFO_STATUS1: { address: 0x3a, bits: { DIFF_FIFO_7_0: [7, 0] } },
  FIFO_STATUS2: {
    address: 0x3b,
    bits: { WTM_IA: 7, OVR_IA: 6, FULL_IA: 5, COUNTER_BDR_IA: 4, OVR_LATCHED: 3, DIFF_FIFO_9_8: [1, 0] },
  },
  INTERNAL_FREQ_FINE: { address: 0x63 },
  FIFO_DATA_OUT_TAG: { address: 0x78, bits: { TAG_SENSOR: [7, 3], TAG_CNT: [2, 1], TAG_PARITY: 0 } },
  FIFO_DATA_OUT_Z_H: { address: 0x7e },
} as const satisfies RegisterTable;

/** The same as numbers. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };
