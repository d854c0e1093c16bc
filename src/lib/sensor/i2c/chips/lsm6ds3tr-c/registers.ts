import type { RegisterTable } from '../../chip.js';

/** The user bank of the LSM6DS3TR-C, as far as it is used here (data sheet DocID030071 rev 3, section 8). */
export const registers = {
  FIFO_CTRL1: { address: 0x06, bits: { FTH_7_0: [7, 0] } },
  FIFO_CTRL2: {
    address: 0x07,
    bits: { TIMER_PEDO_FIFO_EN: 7, TIMER_PEDO_FIFO_DRDY: 6, FIFO_TEMP_EN: 3, FTH_10_8: [2, 0] },
  },
  FIFO_CTRL3: { address: 0x08, bits: { DEC_FIFO_GYRO: [5, 3], DEC_FIFO_XL: [2, 0] } },
  FIFO_CTRL4: {
    address: 0x09,
    bits: { STOP_ON_FTH: 7, ONLY_HIGH_DATA: 6, DEC_DS4_FIFO: [5, 3], DEC_DS3_FIFO: [2, 0] },
  },
  FIFO_CTRL5: { address: 0x0a, bits: { ODR_FIFO: [6, 3], FIFO_MODE: [2, 0] } },
  INT1_CTRL: { address: 0x0d, bits: { INT1_FULL_FLAG: 5, INT1_FIFO_OVR: 4, INT1_FTH: 3 } },
  WHO_AM_I: { address: 0x0f },
  CTRL1_XL: { address: 0x10, bits: { ODR_XL: [7, 4], FS_XL: [3, 2], LPF1_BW_SEL: 1, BW0_XL: 0 } },
  CTRL2_G: { address: 0x11, bits: { ODR_G: [7, 4], FS_G: [3, 2], FS_125: 1 } },
  CTRL3_C: {
    address: 0x12,
    bits: { BOOT: 7, BDU: 6, H_LACTIVE: 5, PP_OD: 4, SIM: 3, IF_INC: 2, BLE: 1, SW_RESET: 0 },
  },
  CTRL4_C: { address: 0x13, bits: { SLEEP: 6, DRDY_MASK: 3, I2C_disable: 2, LPF1_SEL_G: 1 } },
  CTRL5_C: { address: 0x14, bits: { ROUNDING: [7, 5], ST_G: [3, 2], ST_XL: [1, 0] } },
  CTRL6_C: { address: 0x15, bits: { XL_HM_MODE: 4, USR_OFF_W: 3, FTYPE: [1, 0] } },
  CTRL7_G: { address: 0x16, bits: { G_HM_MODE: 7, HP_EN_G: 6, HPM_G: [5, 4] } },
  CTRL8_XL: { address: 0x17, bits: { LPF2_XL_EN: 7, HPCF_XL: [6, 5] } },
  CTRL9_XL: { address: 0x18 },
  CTRL10_C: { address: 0x19, bits: { TIMER_EN: 5, FUNC_EN: 2 } },
  STATUS_REG: { address: 0x1e, bits: { TDA: 2, GDA: 1, XLDA: 0 } },
  OUT_TEMP_L: { address: 0x20 },
  OUTX_L_G: { address: 0x22 },
  OUTX_L_XL: { address: 0x28 },
  FIFO_STATUS1: { address: 0x3a, bits: { DIFF_FIFO_7_0: [7, 0] } },
  FIFO_STATUS2: {
    address: 0x3b,
    bits: { WaterM: 7, OVER_RUN: 6, FIFO_FULL_SMART: 5, FIFO_EMPTY: 4, DIFF_FIFO_10_8: [2, 0] },
  },
  FIFO_STATUS3: { address: 0x3c, bits: { FIFO_PATTERN_7_0: [7, 0] } },
  FIFO_STATUS4: { address: 0x3d, bits: { FIFO_PATTERN_9_8: [1, 0] } },
  FIFO_DATA_OUT_L: { address: 0x3e },
  TIMESTAMP0: { address: 0x40 },
  TIMESTAMP2: { address: 0x42 },
  WAKE_UP_DUR: { address: 0x5c, bits: { TIMER_HR: 4 } },
  X_OFS_USR: { address: 0x73 },
  Y_OFS_USR: { address: 0x74 },
  Z_OFS_USR: { address: 0x75 },
} as const satisfies RegisterTable;

/** The same as numbers. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };
