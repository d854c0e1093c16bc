/**
 * The supported chips, with their names in esptool and espflash and the properties that images need. Sources: the chip_id in
 * esp_image_header_t (ESP-IDF, esp_app_format.h), the ROMs' boot offsets (esptool, targets), and the family ids in the UF2 specification
 * (uf2families.json).
 */
export const espChips = {
  esp32: { id: 0, bootloaderOffset: 0x1000, title: 'ESP32', machine: 'xtensa', uf2Family: 0x1c5f21b0 },
  esp32s2: { id: 2, bootloaderOffset: 0x1000, title: 'ESP32-S2', machine: 'xtensa', uf2Family: 0xbfdd4eee },
  esp32c3: { id: 5, bootloaderOffset: 0x0, title: 'ESP32-C3', machine: 'riscv', uf2Family: 0xd42ba06c },
  esp32s3: { id: 9, bootloaderOffset: 0x0, title: 'ESP32-S3', machine: 'xtensa', uf2Family: 0xc47e5767 },
  esp32c2: { id: 12, bootloaderOffset: 0x0, title: 'ESP32-C2', machine: 'riscv', uf2Family: 0x2b88d29c },
  esp32c6: { id: 13, bootloaderOffset: 0x0, title: 'ESP32-C6', machine: 'riscv', uf2Family: 0x540ddf62 },
  esp32h2: { id: 16, bootloaderOffset: 0x0, title: 'ESP32-H2', machine: 'riscv', uf2Family: 0x332726f6 },
  esp32c61: { id: 20, bootloaderOffset: 0x0, title: 'ESP32-C61', machine: 'riscv', uf2Family: 0x77d850c4 },
  esp32h21: { id: 25, bootloaderOffset: 0x0, title: 'ESP32-H21', machine: 'riscv', uf2Family: 0xb6dd00af },
  esp32h4: { id: 28, bootloaderOffset: 0x2000, title: 'ESP32-H4', machine: 'riscv', uf2Family: 0x9e0baa8a },
  esp32p4: { id: 18, bootloaderOffset: 0x2000, title: 'ESP32-P4', machine: 'riscv', uf2Family: 0x3d308e94 },
  esp32c5: { id: 23, bootloaderOffset: 0x2000, title: 'ESP32-C5', machine: 'riscv', uf2Family: 0xf71c0343 },
} as const;

export type ChipName = keyof typeof espChips;

export const chipNames = Object.keys(espChips) as ChipName[];

/** The chip that has this id in image headers; null for an unknown id. */
export function chipOfId(id: number): ChipName | null {
  return chipNames.find((name) => espChips[name].id === id) ?? null;
}

/** Names of spi_mode in esp_image_header_t (ESP-IDF, esp_app_format.h), by value. */
export const flashModes = ['qio', 'qout', 'dio', 'dout', 'fast-read', 'slow-read'] as const;

export type FlashMode = (typeof flashModes)[number];

/** Names of spi_size in esp_image_header_t, by value: 1 MiB, doubled with each step. */
export const flashSizes = ['1MB', '2MB', '4MB', '8MB', '16MB', '32MB', '64MB', '128MB'] as const;

export type FlashSize = (typeof flashSizes)[number];

/**
 * Values of spi_speed in esp_image_header_t (a divider of the chip's flash clock), by the names in the manufacturer's tools. The ESP32-C6
 * uses one value for both of its speeds. Source: esptool, FLASH_FREQUENCY in each target.
 */
const commonFrequencies = { '80m': 0xf, '40m': 0, '26m': 1, '20m': 2 };

const frequencies: Record<ChipName, Record<string, number>> = {
  esp32: commonFrequencies,
  esp32s2: commonFrequencies,
  esp32c3: commonFrequencies,
  esp32s3: commonFrequencies,
  esp32p4: commonFrequencies,
  esp32c2: { '60m': 0xf, '30m': 0, '20m': 1, '15m': 2 },
  esp32c6: { '80m': 0, '40m': 0, '20m': 2 },
  esp32h2: { '48m': 0xf, '24m': 0, '16m': 1, '12m': 2 },
  esp32c5: { '80m': 0xf, '40m': 0, '20m': 2 },
  esp32c61: { '80m': 0xf, '40m': 0, '20m': 2 },
  esp32h21: { '48m': 0xf, '24m': 0 },
  esp32h4: { '48m': 0xf, '24m': 0 },
};

/** The speed names of all chips, as values of a flag. */
export const flashFrequencies = [
  '80m',
  '60m',
  '48m',
  '40m',
  '30m',
  '26m',
  '24m',
  '20m',
  '16m',
  '15m',
  '12m',
] as const;

export type FlashFrequency = (typeof flashFrequencies)[number];

/** The names of a chip's speeds, fastest first. */
export function frequenciesOf(chip: ChipName): FlashFrequency[] {
  return Object.keys(frequencies[chip]) as FlashFrequency[];
}

/** Value of a speed in the image header; null if the chip has no such speed. */
export function frequencyCode(chip: ChipName, name: FlashFrequency): number | null {
  return frequencies[chip][name] ?? null;
}

/** The fastest speed that the value can represent; null if the chip does not define the value. */
export function frequencyName(chip: ChipName, code: number): FlashFrequency | null {
  return frequenciesOf(chip).find((name) => frequencies[chip][name] === code) ?? null;
}

/** The number of bytes in a named flash size. */
export function flashSizeBytes(size: FlashSize): number {
  return 2 ** flashSizes.indexOf(size) * 0x100000;
}
