import type { RolloutDeviceInfo } from './schema.js';

/** A proof's state as people read it, here, in reports and in the dashboard. */
export const proofWords: Record<NonNullable<RolloutDeviceInfo['proof']>['state'], string> = {
  proven: 'signed',
  said: 'unsigned',
  refused: 'invalid',
};

/** A state as people read it: `rolledBack` → `rolled back`. */
export function stateWords(state: string): string {
  return state.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
