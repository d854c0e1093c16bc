import type { DeviceMessage } from '../../../src/lib/api/index.js';
import { Samples } from '../device/samples.js';

/** A field of a device's telemetry as a line. Times are in s since 1970, ascending; null is a gap. */
export interface Line {
  stream: string;
  field: string;
  times: readonly number[];
  values: readonly (number | null)[];
  /** Minimum and maximum at each time, if the values are means. */
  low?: readonly (number | null)[];
  high?: readonly (number | null)[];
}

/** A pause longer than this share of the shown time is a gap. */
export const pauseShare = 0.05;

/** The name of a line's field, with its stream. */
export function nameOf({ stream, field }: Pick<Line, 'stream' | 'field'>): string {
  return stream === '' ? field : `${stream}/${field}`;
}

/** The numeric fields in a device's telemetry, sorted by name. @param seconds time that is shown */
export function linesOf(messages: readonly DeviceMessage[], seconds: number): Line[] {
  const streams = new Map<string, Samples>();
  for (const message of messages) {
    const stream = message.stream ?? '';
    const samples = streams.get(stream) ?? new Samples(Number.POSITIVE_INFINITY, pauseShare * seconds);
    streams.set(stream, samples);
    samples.add(message);
  }
  return [...streams]
    .flatMap(([stream, { times, columns }]) =>
      [...columns].map(([field, values]) => ({ stream, field, times, values })),
    )
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

/** The line of each device that is shown first: the field that most devices have, or else the device's first one. */
export function firstLines(devices: readonly (readonly Line[])[]): (Line | undefined)[] {
  const counts = new Map<string, number>();
  for (const line of devices.flat()) counts.set(nameOf(line), (counts.get(nameOf(line)) ?? 0) + 1);
  const [common] = [...counts].sort(([a, one], [b, other]) => other - one || (a < b ? -1 : 1))[0] ?? [];
  return devices.map((lines) => lines.find((line) => nameOf(line) === common) ?? lines[0]);
}

/** All times of the lines, followed by the values of each. Undefined = the line has no sample at that time, which is no gap. */
export function joinedLines(
  lines: readonly Pick<Line, 'times' | 'values'>[],
): [number[], ...(number | null | undefined)[][]] {
  const times = [...new Set(lines.flatMap((line) => [...line.times]))].sort((a, b) => a - b);
  const columns = lines.map((line) => {
    let i = 0;
    return times.map((time) => (line.times[i] === time ? line.values[i++] : undefined));
  });
  return [times, ...columns];
}
