import type { ChipName } from '../../src/lib/formats/esp-image/chips.js';

/** A chip in download mode, as given to a tool. */
export interface Target {
  /** A pty's path, or another address that the tool accepts. */
  port: string;
  chip: ChipName;
  stub: boolean;
  /** Speed after the connection. */
  baud?: number;
}

/**
 * One flashing tool, ours or a third party's, by the tasks that all of them have. Each call is a separate session: it connects, works, and
 * leaves the chip in download mode for the next one. If a tool reports a failure, the call throws with all of its output.
 */
export interface FlashTool {
  readonly name: 'aiot' | 'espflash' | 'esptool';
  /** The chip that the tool detects at the port. */
  detect(target: Target): Promise<{ chip: string; mac: string }>;
  /** Writes and runs the tool's own verification afterwards. */
  write(target: Target, offset: number, file: string, compress: boolean): Promise<void>;
  /** Whether the flash at `offset` matches the file, verified by the tool itself. */
  verify(target: Target, offset: number, file: string): Promise<boolean>;
  read(target: Target, offset: number, length: number): Promise<Uint8Array>;
  /** Whole sectors. */
  eraseRegion(target: Target, offset: number, length: number): Promise<void>;
  eraseAll(target: Target): Promise<void>;
}

/** `0x10000`. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** A chip's name as printed by manufacturers (`ESP32-S3`) in our form (`esp32s3`). */
export function chipNamed(printed: string): string {
  return printed.toLowerCase().replaceAll('-', '');
}
