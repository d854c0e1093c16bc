import type { ChipName } from '../../src/lib/formats/esp-image/chips.js';

/** A chip in download mode, as given to a tool. */
export interface Target {
  /** A pty's path, or another address that the tool accepts. */
  port: string;
  chip: ChipName;
  stub: boolean;
  /** Baud rate after the connection is established. */
  baud?: number;
}

/**
 * A flashing tool, ours or a third party's, reduced to the tasks that all tools support. Each call is a separate
 * session that connects, works, and leaves the chip in download mode for the next one. If a tool reports a failure,
 * the call throws with its complete output.
 */
export interface FlashTool {
  readonly name: 'aiot' | 'espflash' | 'esptool';
  /** Returns the chip that the tool detects on the port. */
  detect(target: Target): Promise<{ chip: string; mac: string }>;
  /** Writes a file, and then runs the tool's own verification. */
  write(target: Target, offset: number, file: string, compress: boolean): Promise<void>;
  /** Whether the flash at `offset` matches the file, verified by the tool itself. */
  verify(target: Target, offset: number, file: string): Promise<boolean>;
  read(target: Target, offset: number, length: number): Promise<Uint8Array>;
  /** Erases whole sectors. */
  eraseRegion(target: Target, offset: number, length: number): Promise<void>;
  eraseAll(target: Target): Promise<void>;
}

/** Formats a number as in `0x10000`. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** Converts a chip's name as printed by vendors (`ESP32-S3`) to ours (`esp32s3`). */
export function chipNamed(printed: string): string {
  return printed.toLowerCase().replaceAll('-', '');
}
