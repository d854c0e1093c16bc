import { z } from 'zod';
import { formatDuration, plural } from '../../core/index.js';
import type { LoopStatus } from '../status.js';

export const healthSchema = z.object({
  healthy: z.boolean(),
  /** Why not, each a line. */
  reasons: z.array(z.string()),
});
export type Health = z.output<typeof healthSchema>;

/**
 * Whether a loop does what it is for: samples come, and there is a model for them. An output that is away is no reason: what it
 * is to get is kept.
 */
export function healthOf({ state, sensor, model, at }: LoopStatus): Health {
  const reasons: string[] = [];
  if (state === 'stopped') reasons.push('the loop has ended');
  else {
    if (model === null) reasons.push('there is no model yet');
    if (!sensor.connected)
      reasons.push(`${sensor.endpoint} gives no samples${since(sensor.lastSampleAt, at)}`);
  }
  return { healthy: reasons.length === 0, reasons };
}

function since(last: number | null, at: number): string {
  if (last === null) return ' yet';
  const seconds = Math.max(0, Math.round((at - last) / 1000));
  return seconds < 120
    ? ` for ${plural(seconds, 'second')}`
    : ` for ${formatDuration(Math.round(seconds / 60) * 60_000)}`;
}
