import type { LoopStatus } from '../status.js';
import { healthOf } from './health.js';

/**
 * How long systemd is told that all is well without a sample. A sensor that is unplugged is no fault of the process, and starting it anew
 * takes away what it knows; a driver that got stuck is, and looks the same.
 */
const patienceMs = 10 * 60_000;

/** What systemd is told and when. */
export interface Beat {
  /** What to tell now. @param nowMs of a clock that no one sets */
  next(status: LoopStatus, nowMs: number): string[];
}

/**
 * READY=1 with the first sample or answer; WATCHDOG=1 where samples were processed since the last one, or did not come for less than ten
 * minutes; STATUS= when there is something else to say.
 */
export function createBeat(watchdog: boolean): Beat {
  let ready = false;
  let seen = 0;
  let freshAt: number | undefined;
  let said = '';
  return {
    next(status, nowMs) {
      const { sensor, windows } = status;
      const progress = sensor.samples + windows;
      const fresh = progress !== seen;
      freshAt = fresh || freshAt === undefined ? nowMs : freshAt;
      seen = progress;
      const lines: string[] = [];
      if (!ready && progress > 0) {
        ready = true;
        lines.push('READY=1');
      }
      const away = !sensor.connected && nowMs - freshAt < patienceMs;
      if (watchdog && (fresh || away)) lines.push('WATCHDOG=1');
      const text = statusLine(status);
      if (text !== said || lines.length > 0) lines.push(`STATUS=${text}`);
      said = text;
      return lines;
    },
  };
}

function statusLine(status: LoopStatus): string {
  const { reasons } = healthOf(status);
  if (reasons.length > 0) return reasons.join('; ');
  const { sensor, last, outputs, model } = status;
  const away = outputs.filter(({ connected }) => !connected).length;
  const parts = [
    last?.voted ?? last?.label ?? 'no answer yet',
    `${sensor.rateHz === null ? '?' : sensor.rateHz.toFixed(1)} Hz`,
    `model ${model?.name ?? '?'}${model?.version == null ? '' : ` ${model.version}`}`,
    ...(away > 0 ? [`${away} of ${outputs.length} outputs away`] : []),
  ];
  return parts.join(', ').replaceAll(/[\r\n]/g, ' ');
}
