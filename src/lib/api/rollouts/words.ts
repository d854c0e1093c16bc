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

/** A step of an update as people read it: at `golden`, the device has run the model's golden vectors. */
export function stepWord(step: string): string {
  return step === 'golden' ? 'tested' : step;
}
