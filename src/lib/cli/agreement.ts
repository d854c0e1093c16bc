import type { Agree } from '../registry/index.js';
import { toSignText } from './render/trust.js';

/** Shows what this user's key is to be put under, and asks. */
export function agreement(note: (text: string) => void, ask: (question: string) => Promise<boolean>): Agree {
  return async (what) => {
    note(toSignText(what));
    const digests = what.artifacts.map(({ digest }) => digest).join(', ');
    return ask(`Sign ${what.kind} ${what.name}@${what.version} (${digests})?`);
  };
}
