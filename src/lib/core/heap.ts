import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Until `letYoungHeapGrow`, the space for new objects stays as large as it is: V8 doubles it, up to two halves of 16 MB, for what is made
 * at once and kept. A program that is loaded is that, and the space it was given is never given back: 10 MB of a process that
 * does little.
 */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** For what computes: new objects have room to die in, as V8 would have it. */
export function letYoungHeapGrow(): void {
  setFlagsFromString('--semi-space-growth-factor=2');
}

/**
 * For what runs for months on a small board: V8 lets the heap double before it looks at what has outlived the youngest generation;
 * from now on it looks at every fifth more, and the youngest grows no further.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--heap-growing-percent=20');
  keepYoungHeapSmall();
}

let resident = 0;

/** Memory of this process, bytes; what it was last where it cannot be read now: the system is asked by a file, and may have none left. */
export function residentBytes(): number {
  try {
    resident = process.memoryUsage.rss();
  } catch {
    // EMFILE: no reason to end.
  }
  return resident;
}

/**
 * Gives back now what a beginning needed (a bundle's files, a dataset). Not before much is under way at once: the heap that V8 then
 * allows itself is larger, a bridge's by 15 MB.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
