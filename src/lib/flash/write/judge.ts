import { AiotError } from '../../core/index.js';
import type { Loader } from '../loader/types.js';
import type { FlashBoardOptions } from './flash-board.js';
import type { Verdict } from './health.js';
import type { Switched } from './result.js';
import { forgetUnproven, type UnprovenKind } from './unproven.js';
import { withBoard } from './with-board.js';

export interface JudgeOptions extends FlashBoardOptions {
  /** Listens to the restarted board; without it nobody judges what it runs. */
  watch?: ((port: string) => Promise<Verdict>) | undefined;
}

export interface Judged {
  mac: string;
  kind: UnprovenKind;
  /** Whether the board can be brought into its loader without hands. */
  canReset: boolean;
  /** Writes the choice before. */
  restore: (loader: Loader) => Promise<unknown>;
}

/** Where somebody has to hold BOOT, the first time may be too short. */
const triesByHand = 2;

/**
 * Watches a board that was switched to another slot, and sets it back when it is not well; `switched` tells what came of
 * it, also when it could not be set back.
 * @throws the signal's reason
 */
export async function judgeSwitched(
  switched: Switched,
  judged: Judged,
  options: JudgeOptions,
): Promise<void> {
  const { watch, port } = options;
  if (!watch) return;
  const verdict = await watch(port).catch((error: unknown): Verdict => {
    if (!isOutside(error)) throw error;
    return { healthy: false, reason: `it could not be watched: ${error.message}` };
  });
  Object.assign(switched, verdict);
  if (!verdict.healthy) {
    const failure = await setBack(switched, judged, options);
    switched.restored = failure === null;
    if (failure) switched.reason = `${verdict.reason} (setting back: ${failure.message})`;
  }
  if (verdict.healthy || switched.restored) await forgetUnproven(judged);
}

async function setBack(
  { before }: Switched,
  { canReset, restore }: Judged,
  options: JudgeOptions,
): Promise<AiotError | null> {
  const { port, ask } = options;
  for (let left = canReset ? 1 : triesByHand; ; left--) {
    if (!canReset) ask?.(`hold BOOT and press RESET on the board at ${port}: ${before} is to be set back`);
    try {
      await withBoard(options, restore);
      return null;
    } catch (error) {
      if (!isOutside(error)) throw error;
      if (left <= 1) return error;
    }
  }
}

/** Cable and chip; neither a defect nor somebody who stops it. */
function isOutside(error: unknown): error is AiotError {
  return error instanceof AiotError && error.code !== 'AIOT_INTERRUPTED';
}

/** A board that was watched and is not well; null of every other one. */
export function unhealthy({ port, switched }: { port: string; switched: Switched | null }): AiotError | null {
  if (switched?.healthy !== false) return null;
  const { slot, before, restored, reason, back } = switched;
  if (restored) return new AiotError('AIOT_FLASH_UNHEALTHY', `${slot} did not come up healthy: ${reason}`);
  const message = `${slot} did not come up healthy, was the choice and was NOT set back to ${before}: ${reason}`;
  const repeat = 'repeat the update: it sets that back before it writes';
  const next = `Hold BOOT, press RESET, then ${back === null ? repeat : `${back} --port ${port}; or ${repeat}`}`;
  return new AiotError('AIOT_FLASH_UNHEALTHY', message, { next });
}
