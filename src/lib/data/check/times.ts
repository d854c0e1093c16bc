import { percent, plural } from '../../core/figures.js';
import type { LooseFile } from '../tables/loose-file.js';
import type { Loose } from '../tables/loose-recordings.js';
import type { Finding } from '../types.js';
import { listIds } from './report.js';

/** Minimum share of repeated timestamps, and of steps backward, that is reported. Loggers sometimes write one row twice. */
const leastRepeated = 0.01;
const leastBackward = 0.9;

/** Finds problems of the files' time columns, and columns that are named like a time column but contain no times. */
export function checkTimes(loose: Loose): Finding[] {
  return [...constant(loose), ...decreasing(loose), ...repeated(loose), ...gaps(loose), ...notTimes(loose)];
}

type Steps = NonNullable<LooseFile['steps']>;

/** The files whose time steps meet a condition, and the name of the column. */
function filesWhere({ info, time }: Loose, is: (steps: Steps) => boolean) {
  const hits = [...info].flatMap(([id, { steps }]) =>
    steps !== null && steps.all > 0 && is(steps) ? [{ id, steps }] : [],
  );
  return { hits, ids: hits.map(({ id }) => id), column: time?.name ?? 'time' };
}

function constant(loose: Loose): Finding[] {
  const { ids, column } = filesWhere(loose, ({ repeated: same, all }) => same === all);
  if (ids.length === 0) return [];
  return [
    {
      ...{ kind: 'time', severity: 'warning', files: ids, evidence: { column, problem: 'constant' } },
      message: `The time column ${column} does not change in ${listIds(ids)}, so it states no rate.`,
      advice: 'Record the time of each sample, or set the rate with --rate.',
    },
  ];
}

function decreasing(loose: Loose): Finding[] {
  const { ids, column } = filesWhere(loose, ({ backward, all }) => backward >= leastBackward * all);
  if (ids.length === 0) return [];
  return [
    {
      ...{ kind: 'time', severity: 'warning', files: ids, evidence: { column, problem: 'decreasing' } },
      message: `The time column ${column} decreases in ${listIds(ids)}: the rows are in reverse order, and it states no rate.`,
      advice: 'Sort the rows by time.',
    },
  ];
}

/** Finds repeated timestamps. If most rows repeat them, the clock is merely coarse, and the mean rate is used. */
function repeated(loose: Loose): Finding[] {
  const { hits, ids, column } = filesWhere(
    loose,
    ({ repeated: same, all }) => same < all && same >= leastRepeated * all,
  );
  if (hits.length === 0) return [];
  const sum = (of: (steps: Steps) => number) => hits.reduce((total, { steps }) => total + of(steps), 0);
  const [same, all] = [sum((steps) => steps.repeated), sum((steps) => steps.all)];
  const coarse = same > all / 2;
  return [
    {
      ...{ kind: 'time', severity: coarse ? 'info' : 'warning', files: ids },
      evidence: { column, problem: 'repeated', repeated: same, steps: all },
      message: `${plural(same, 'timestamp')} of ${column} in ${listIds(ids)} (${percent(same / all)}) ${same === 1 ? 'repeats' : 'repeat'} the previous one${coarse ? ': the clock is coarse, so the rate is the mean one' : ''}.`,
      advice: coarse
        ? 'Nothing to do if this rate is right.'
        : 'Remove rows that were recorded twice. If the clock is coarse, set the rate with --rate.',
    },
  ];
}

/** Finds gaps between timestamps, including jumps backward. */
function gaps({ info }: Loose): Finding[] {
  const hits = [...info].filter(([, { gaps: own }]) => own.length > 0);
  if (hits.length === 0) return [];
  const all = hits.flatMap(([id, { gaps: own }]) => own.map((gap) => ({ id, ...gap })));
  const longest = all.reduce((a, b) => (Math.abs(b.seconds) > Math.abs(a.seconds) ? b : a));
  const back = longest.seconds < 0 ? 'goes back by' : 'is';
  return [
    {
      kind: 'gap',
      severity: 'warning',
      files: hits.map(([id]) => id),
      evidence: { gaps: all.length, seconds: longest.seconds, row: longest.row },
      message: `${plural(all.length, 'gap')} in the timestamps of ${listIds(hits.map(([id]) => id))}; the longest, after row ${longest.row} of ${longest.id}, ${back} ${Math.abs(longest.seconds).toFixed(2)} s.`,
      advice:
        'Windows across a gap join unrelated data. Split the file there, so that each part becomes a recording.',
    },
  ];
}

/** Finds columns that are inputs although they are named like a time column. */
function notTimes({ info }: Loose): Finding[] {
  const names = [...new Set([...info.values()].flatMap(({ notTimes: own }) => own))];
  return names.map((name) => ({
    kind: 'time',
    severity: 'warning',
    files: [...info].filter(([, { notTimes: own }]) => own.includes(name)).map(([id]) => id),
    evidence: { column: name, problem: 'not a time' },
    message: `The values of ${name} rise and fall, so they are not times: the column is an input.`,
    advice: 'If it is no measurement, remove the column. If it is the time, sort the rows by it.',
  }));
}
