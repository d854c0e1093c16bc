import type { Reported } from '../../device/index.js';

/**
 * What is new in a report: the model that runs, the firmware, the update's step or its error. Null where nothing of these has
 * changed: progress within a step, and a report sent again, are no events.
 */
export function reportChange(before: Reported | null, now: Reported): Record<string, unknown> | null {
  const [old, told] = [before && newsOf(before), newsOf(now)];
  return JSON.stringify(old) === JSON.stringify(told) ? null : told;
}

function newsOf({ state, rollout, model, firmware, error }: Reported): Record<string, unknown> {
  const running = model && { name: model.name, version: model.version, sequence: model.sequence };
  return { state, rollout, model: running, error, firmware: firmware?.version ?? null };
}
