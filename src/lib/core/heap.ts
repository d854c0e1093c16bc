import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * For what runs for months on a small board: V8 lets the heap double before it looks at what has outlived the youngest generation;
 * from now on it looks at every fifth more.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--heap-growing-percent=20');
}

/**
 * Gives back now what a beginning needed (a bundle's files, a dataset). Not before much is under way at once: the heap that V8 then
 * allows itself is larger, a bridge's by 15 MB.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
