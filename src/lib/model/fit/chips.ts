import type { Core } from './kernels.js';
import type { SourceName } from './sources.js';

export interface Chip {
  title: string;
  core: Core;
  coreTitle: string;
  clockMHz: number;
  /** Bytes of flash for code and network: on the chip, or in the module usually sold with it. */
  flash: number;
  /** Bytes of RAM on the chip. */
  ram: number;
  /** Bytes of RAM used by the system, stacks and radio: an allowance, not a measurement. */
  reservedRam: number;
  source: SourceName;
}

const KiB = 1024;
const MiB = 1024 * KiB;

/** Chips whose fit is predicted. To add a chip, add a row here, and a core family in kernels.ts if necessary. */
export const chips = {
  esp32: {
    title: 'ESP32',
    core: 'lx6',
    coreTitle: 'Xtensa LX6',
    clockMHz: 240,
    flash: 4 * MiB,
    ram: 520 * KiB,
    // 200 KiB are instruction memory, and ESP-IDF with Wi-Fi uses about 140 KiB of the data memory.
    reservedRam: 340 * KiB,
    source: 'esp32',
  },
  esp32s3: {
    title: 'ESP32-S3',
    core: 'lx7',
    coreTitle: 'Xtensa LX7, vector',
    clockMHz: 240,
    flash: 8 * MiB,
    ram: 512 * KiB,
    reservedRam: 260 * KiB,
    source: 'esp32s3',
  },
  esp32c3: {
    title: 'ESP32-C3',
    core: 'riscv',
    coreTitle: 'RISC-V RV32IMC',
    clockMHz: 160,
    flash: 4 * MiB,
    ram: 400 * KiB,
    reservedRam: 220 * KiB,
    source: 'esp32c3',
  },
  esp32c6: {
    title: 'ESP32-C6',
    core: 'riscv',
    coreTitle: 'RISC-V RV32IMAC',
    clockMHz: 160,
    flash: 4 * MiB,
    ram: 512 * KiB,
    reservedRam: 260 * KiB,
    source: 'esp32c6',
  },
  rp2040: {
    title: 'RP2040',
    core: 'm0',
    coreTitle: 'Cortex-M0+',
    clockMHz: 133,
    flash: 2 * MiB,
    ram: 264 * KiB,
    reservedRam: 32 * KiB,
    source: 'rp2040',
  },
  rp2350: {
    title: 'RP2350',
    core: 'm33',
    coreTitle: 'Cortex-M33',
    clockMHz: 150,
    flash: 4 * MiB,
    ram: 520 * KiB,
    reservedRam: 32 * KiB,
    source: 'rp2350',
  },
  nrf52840: {
    title: 'nRF52840',
    core: 'm4',
    coreTitle: 'Cortex-M4F',
    clockMHz: 64,
    flash: 1 * MiB,
    ram: 256 * KiB,
    reservedRam: 64 * KiB,
    source: 'nrf52840',
  },
  stm32f4: {
    title: 'STM32F407',
    core: 'm4',
    coreTitle: 'Cortex-M4F',
    clockMHz: 168,
    flash: 1 * MiB,
    // The 64 KiB of core-coupled memory cannot be part of a contiguous arena.
    ram: 128 * KiB,
    reservedRam: 16 * KiB,
    source: 'stm32f4',
  },
  stm32l4: {
    title: 'STM32L4R5',
    core: 'm4',
    coreTitle: 'Cortex-M4F',
    clockMHz: 120,
    flash: 2 * MiB,
    ram: 640 * KiB,
    reservedRam: 16 * KiB,
    source: 'stm32l4',
  },
} as const satisfies Record<string, Chip>;

export type ChipName = keyof typeof chips;
export const chipNames = Object.keys(chips) as [ChipName, ...ChipName[]];
