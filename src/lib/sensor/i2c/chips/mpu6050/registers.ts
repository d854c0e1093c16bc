import type { RegisterTable } from '../../chip.js';

/** The registers of the MPU6050, as far as they are used here (InvenSense, register map revision 4.2). */
export const registers = {
  SELF_TEST_X: { address: 0x0d, bits: { XA_4_2: [7, 5], XG: [4, 0] } },
  SELF_TEST_A: { address: 0x10, bits: { XA_1_0: [5, 4], YA_1_0: [3, 2], ZA_1_0: [1, 0] } },
  SMPLRT_DIV: { address: 0x19 },
  CONFIG: { address: 0x1a, bits: { EXT_SYNC_SET: [5, 3], DLPF_CFG: [2, 0] } },
  GYRO_CONFIG: { address: 0x1b, bits: { XG_ST: 7, YG_ST: 6, ZG_ST: 5, FS_SEL: [4, 3] } },
  ACCEL_CONFIG: { address: 0x1c, bits: { XA_ST: 7, YA_ST: 6, ZA_ST: 5, AFS_SEL: [4, 3] } },
  FIFO_EN: { address: 0x23, bits: { TEMP: 7, XG: 6, YG: 5, ZG: 4, ACCEL: 3 } },
  INT_ENABLE: { address: 0x38 },
  INT_STATUS: { address: 0x3a, bits: { FIFO_OFLOW: 4, I2C_MST: 3, DATA_RDY: 0 } },
  ACCEL_XOUT_H: { address: 0x3b },
  TEMP_OUT_H: { address: 0x41 },
  GYRO_XOUT_H: { address: 0x43 },
  USER_CTRL: { address: 0x6a, bits: { FIFO_EN: 6, I2C_MST_EN: 5, FIFO_RESET: 2, SIG_COND_RESET: 0 } },
  PWR_MGMT_1: { address: 0x6b, bits: { DEVICE_RESET: 7, SLEEP: 6, CYCLE: 5, TEMP_DIS: 3, CLKSEL: [2, 0] } },
  PWR_MGMT_2: { address: 0x6c },
  FIFO_COUNTH: { address: 0x72 },
  FIFO_COUNTL: { address: 0x73 },
  FIFO_R_W: { address: 0x74 },
  WHO_AM_I: { address: 0x75 },
} as const satisfies RegisterTable;

/** The same as numbers. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };
