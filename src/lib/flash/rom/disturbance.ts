import type { FaultBox } from './faults.js';
import type { ResetCause } from './identity.js';

/** What a fault does in place of a request, or before it. */
export type Disturbance =
  | { kind: 'unplugged' | 'panic' | 'hang' }
  | { kind: 'reset'; cause: ResetCause }
  | { kind: 'chatter'; text: string };

const chatter = 'E (312) app: sensor does not answer\r\n';

/** The fault that strikes at the request of this command, if one does. */
export function disturbanceAt(faults: FaultBox, op: number): Disturbance | null {
  if (faults.strike('unplugged', op)) return { kind: 'unplugged' };
  if (faults.strike('brownout', op)) return { kind: 'reset', cause: 'brownout' };
  if (faults.strike('reset', op)) return { kind: 'reset', cause: 'watchdog' };
  if (faults.strike('panic', op)) return { kind: 'panic' };
  if (faults.strike('hang', op)) return { kind: 'hang' };
  const said = faults.strike('chatter', op);
  return said ? { kind: 'chatter', text: said.text ?? chatter } : null;
}
