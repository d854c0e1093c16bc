import { thousands } from '../../core/figures.js';
import type { DeviceNeed } from './device-memory.js';

/** Memory settings of the default firmware for one chip, bytes: firmware/hal/esp32/main/settings.h, with the guide's sensors. */
interface BoardMemory {
  /** The whole block: AIOT_MEMORY_BYTES. */
  all: number;
  queue: number;
  message: number;
  envelope: number;
  /** Number of values in a telemetry batch, each a double. */
  batchValues: number;
}

const KiB = 1024;

const small = { queue: 4 * KiB, message: 4 * KiB, envelope: 8 * KiB, batchValues: 160 };

const large = { queue: 12 * KiB, message: 6 * KiB, envelope: 12 * KiB, batchValues: 624 };

/** By device type, which is the name of the chip, as in `aiot firmware push`. */
export const boardMemory: Readonly<Record<string, BoardMemory>> = {
  esp32: { all: 44 * KiB, ...small },
  esp32c3: { all: 53 * KiB, ...small },
  esp32c6: { all: 53 * KiB, ...small },
  esp32h2: { all: 53 * KiB, ...small },
  esp32s3: { all: 80 * KiB, ...large },
  esp32p4: { all: 80 * KiB, ...large },
};

/** A buffer of one flash sector for each kind of update. */
const sectors = 3 * 4 * KiB;

/**
 * Memory for models in the default firmware for boards of this type, bytes; null = the type is not a known board. A
 * project can change this value with AIOT_MEMORY_BYTES, so the value that a device reports takes precedence.
 */
export function modelMemoryOf(type: string): number | null {
  const board = Object.hasOwn(boardMemory, type) ? boardMemory[type] : undefined;
  if (!board) return null;
  const { all, queue, message, envelope, batchValues } = board;
  return all - queue - message - envelope - 8 * batchValues - sectors;
}

/** For each type whose default firmware has too little memory for a model, a sentence with both sizes. */
export function shortTypes(
  { active, trial }: Pick<DeviceNeed, 'active' | 'trial'>,
  types: readonly string[],
): string[] {
  return types.flatMap((type) => {
    const memory = modelMemoryOf(type);
    if (memory === null || trial <= memory) return [];
    return [
      `${type}: the default firmware has ${thousands(memory)} bytes of memory for models, but this one needs at least ${thousands(active)}, and ${thousands(trial)} during its trial (AIOT_MEMORY_SHORT)`,
    ];
  });
}
