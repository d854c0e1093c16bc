import type { LogLine } from '../../../src/lib/api/index.js';
import { at, send } from '../../app/api.js';

const levels = ['debug', 'info', 'warn', 'error'] as const satisfies readonly LogLine['level'][];
/** Durations of a log level, as in commands, and in ms; empty = until the next restart. */
const spans: Readonly<Record<string, number | undefined>> = {
  ...{ '10m': 600_000, '1h': 3_600_000, '24h': 86_400_000, '': undefined },
};

/** A log level for a time, which is a key of `spans`. */
export interface TimedLevel {
  level: string;
  span: string;
}

export const usualLevel: TimedLevel = { level: 'debug', span: '10m' };

/** @throws ApiError if the device is offline, or its firmware has no levels */
export async function setLevel(name: string, { level, span }: TimedLevel): Promise<void> {
  const forMs = spans[span];
  const params = { level, ...(forMs === undefined ? {} : { forMs }) };
  await send(at('POST /devices/:name/commands', { name }), { command: 'log-level', params });
}

/** The words of the equivalent command after the device, such as `debug --for 10m`. */
export function levelWords({ level, span }: TimedLevel): string {
  return span === '' ? level : `${level} --for ${span}`;
}

/** The inputs for a log level and its duration. */
export function LevelFields({
  value: { level, span },
  onChange,
}: {
  value: TimedLevel;
  onChange: (value: TimedLevel) => void;
}) {
  return (
    <>
      <div class="field">
        <label for="log-level">Level</label>
        <select
          id="log-level"
          value={level}
          onChange={({ currentTarget }) => onChange({ level: currentTarget.value, span })}
        >
          {levels.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </div>
      <div class="field">
        <label for="log-level-for">Duration</label>
        <select
          id="log-level-for"
          value={span}
          onChange={({ currentTarget }) => onChange({ level, span: currentTarget.value })}
        >
          {Object.keys(spans).map((each) => (
            <option key={each} value={each}>
              {each === '' ? 'until the next restart' : `for ${each}, then info`}
            </option>
          ))}
        </select>
      </div>
    </>
  );
}
