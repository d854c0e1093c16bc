import { AiotError } from '../core/errors.js';
import type { BoardLocked } from '../flash/lock/lock.js';
import { type LockPart, lockParts } from '../flash/lock/plan.js';
import type { LockAsked } from '../flash/write/flash-production.js';
import { createAsker, type Judged } from './questions.js';
import { boardLockedText } from './render/board.js';

interface LockFlags {
  yes: boolean;
  mac: string | undefined;
  'boot-key': string[] | undefined;
  'encryption-keys': string | undefined;
  'nvs-key': string | undefined;
}

/**
 * The file of --nvs-key, if the option is on the command line. AIOT_NVS_KEY is also read by commands that create an identity, and must not
 * burn a fuse.
 */
export const nvsKeyToBurn = (
  flags: Pick<LockFlags, 'nvs-key'>,
  given: (flag: string) => boolean,
): string | undefined => (given('nvs-key') ? flags['nvs-key'] : undefined);

/** The settings of `aiot flash --profile production`; null without --profile. @throws AIOT_USAGE for flags that need --profile */
export function lockAsked(
  {
    flags,
    given,
  }: { flags: LockFlags & { profile: 'production' | undefined }; given: (flag: string) => boolean },
  signal: AbortSignal,
  note: (text: string) => void,
): LockAsked | null {
  const { 'boot-key': keys, 'encryption-keys': folder, profile, mac } = flags;
  const nvsKey = nvsKeyToBurn(flags, given);
  if (profile !== undefined)
    return {
      ...{ parts: partsOf(undefined, nvsKey), bootKeys: keys ?? [], encryptionKeys: folder, nvsKey },
      confirm: lockConfirmation(flags, signal, note),
    };
  if ((keys ?? folder ?? nvsKey ?? mac) !== undefined)
    throw new AiotError(
      'AIOT_USAGE',
      '--boot-key, --encryption-keys, --nvs-key and --mac need --profile production',
    );
  return null;
}

/** The parts to lock: those of --only or, by default, all for which there is a key. @throws AIOT_USAGE for a key that would not be burned */
export function partsOf(
  only: readonly LockPart[] | undefined,
  nvsKey: string | undefined,
): readonly LockPart[] {
  if (only !== undefined && nvsKey !== undefined && !only.includes('nvs-key'))
    throw new AiotError('AIOT_USAGE', '--nvs-key has no effect without --only nvs-key', {
      next: 'Add --only nvs-key, or omit --nvs-key.',
    });
  return only ?? [...lockParts, ...(nvsKey === undefined ? [] : (['nvs-key'] as const))];
}

/**
 * How the user confirms that fuses are burned: with --yes, and the MAC from --mac or typed on the terminal. Null = without --yes, only
 * the plan is shown.
 */
export function lockConfirmation(
  flags: { yes: boolean; mac: string | undefined },
  signal: AbortSignal,
  note: (text: string) => void,
): ((plan: BoardLocked) => Promise<string>) | null {
  if (!flags.yes) return null;
  return async (plan) => {
    if (flags.mac !== undefined) return flags.mac;
    if (!process.stdin.isTTY)
      throw new AiotError('AIOT_USAGE', 'without a terminal, burning fuses needs --mac', {
        next: 'Pass the MAC of the board, such as --mac 24:0a:c4:00:01:10. `aiot board info` shows it.',
      });
    note(boardLockedText(plan));
    const asker = createAsker(signal);
    try {
      return await asker.ask({
        text: 'These fuses can never be reset. Type the MAC of the board to burn them:',
        judge: (answer): Judged<string> =>
          answer === '' ? { problem: 'Type the MAC, or press Ctrl-C.' } : { value: answer },
      });
    } finally {
      asker.close();
    }
  };
}
