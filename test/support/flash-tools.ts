import type { ChipName } from '../../src/lib/formats/esp-image/chips.js';

/** A chip in download mode as a tool is pointed to it. */
export interface Target {
  /** A pty's path, or what the tool takes besides. */
  port: string;
  chip: ChipName;
  stub: boolean;
  /** Speed after the connection. */
  baud?: number;
}

/**
 * One flashing tool, ours or a third party's, by the tasks that all of them have. Each call is a session of its own: it
 * connects, works, and leaves the chip where the next one finds it in download mode. A tool that reports a failure makes
 * the call throw, with all that it printed.
 */
export interface FlashTool {
  readonly name: 'aiot' | 'espflash' | 'esptool';
  /** What the tool finds at the port without being told the chip. */
  detect(target: Target): Promise<{ chip: string; mac: string }>;
  /** Writes and does the check that the tool itself does afterwards. */
  write(target: Target, offset: number, file: string, compress: boolean): Promise<void>;
  /** Whether the flash at `offset` is the file's bytes, by the tool's own means. */
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

/** A chip's name as makers print it (`ESP32-S3`) as we write it (`esp32s3`). */
export function chipNamed(printed: string): string {
  return printed.toLowerCase().replaceAll('-', '');
}
