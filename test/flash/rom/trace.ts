import { readFileSync } from 'node:fs';

/**
 * One line of a trace: a frame, bytes outside frames, or a note. For the format, see
 * test/golden/rom/README.md.
 */
export interface TraceLine {
  dir?: 'host>chip' | 'chip>host';
  /** Content of a frame in hex, unescaped; long data is truncated. */
  bytes?: string;
  /** Number of bytes on the wire, including delimiters and escapes. */
  wire_len?: number;
  payload?: { len: number; sha256: string };
  raw?: string;
  text?: string;
  cut?: boolean;
  /** Number of consecutive repetitions of this frame (golden files only). */
  times?: number;
  event?: string;
  case?: string;
  note?: string;
  argv?: string;
}

export function readTrace(path: string): TraceLine[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const entry = JSON.parse(line) as TraceLine;
      return Array.from({ length: entry.times ?? 1 }, () => entry);
    });
}
