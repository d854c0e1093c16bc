import type { Reported } from '../protocol/messages.js';
import type { UpdateMachine } from './types.js';

/** The `reported` message that tells of this state. @param t ms since 1970 */
export function reportOf(state: UpdateMachine, t: number): Reported {
  const { record } = state;
  const content = record.active === null ? null : record.slots[record.active];
  const model = content && {
    name: content.name,
    version: content.version,
    sequence: content.sequence,
    digest: content.digest,
  };
  const { type, firmware } = state.traits;
  return {
    t,
    type,
    ...(firmware === undefined ? {} : { firmware }),
    state: state.phase,
    rollout: state.rollout,
    model,
    floor: record.floor,
    download: state.download,
    golden: state.golden,
    error: state.error,
  };
}
