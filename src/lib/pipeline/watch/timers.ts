import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as z from 'zod';
import type { ChosenContext } from '../../core/contexts.js';
import { unless } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { readJson, writeJsonAtomic } from '../../core/files.js';
import type { Project } from '../../core/project.js';
import type { Clock } from '../../core/time.js';
import type { PipelineFolders } from '../run/record.js';
import { messageOf, type Trigger } from './watch.js';

/** Interval between counts of rows, ms. */
const countEveryMs = 10_000;

/** Fires at the end of each interval. */
export function everyTrigger(everyMs: number, text: string, clock: Clock): Trigger {
  return {
    kind: 'every',
    async watch(fire, signal) {
      while (await slept(clock, everyMs, signal)) fire(text);
    },
  };
}

/** Fires according to a cron pattern. @param next returns the next time after a given time, ms since 1970; null = never again */
export function cronTrigger(text: string, next: (after: number) => number | null, clock: Clock): Trigger {
  return {
    kind: 'cron',
    async watch(fire, signal) {
      for (let at = next(clock.now()); at !== null; at = next(Math.max(at, clock.now()))) {
        // Waits in short intervals, because the clock may be changed or the machine suspended in the meantime.
        while (clock.now() < at) {
          if (!(await slept(clock, Math.min(60_000, at - clock.now()), signal))) return;
        }
        fire(text);
      }
    },
  };
}

/** The current number of rows, and the stored number of rows that the last successful run used. */
interface RowCount {
  count(): Promise<number>;
  done(): Promise<number>;
  setDone(rows: number): Promise<void>;
}

/** Fires when this many rows were added since the last successful run began. */
export function rowsTrigger(
  most: number,
  rows: RowCount,
  clock: Clock,
  trouble: (text: string) => void,
): Trigger {
  /** Row count at which the trigger last fired, which prevents a second request for the same rows. */
  let fired = 0;
  return {
    kind: 'rows',
    async watch(fire, signal) {
      do {
        try {
          const seen = await rows.count();
          const done = await rows.done();
          const fresh = seen - Math.max(done, fired);
          // If rows were removed, counting restarts at the current number.
          if (fresh < 0) {
            fired = seen;
            if (seen < done) await rows.setDone(seen);
          } else if (fresh >= most) {
            fired = seen;
            fire(`${plural(fresh, 'new row')}`);
          }
        } catch (error) {
          trouble(messageOf(error));
        }
      } while (await slept(clock, countEveryMs, signal));
    },
    async succeeded() {
      if (fired > 0) await rows.setDone(fired);
    },
  };
}

/**
 * Fires when the data has drifted by more than a limit. @param probe returns the largest PSI of any feature; null = no data for comparison
 */
export function driftTrigger(
  { above, everyMs }: { above: number; everyMs: number },
  probe: (signal: AbortSignal) => Promise<number | null>,
  clock: Clock,
  trouble: (text: string) => void,
): Trigger {
  return {
    kind: 'drift',
    async watch(fire, signal) {
      while (await slept(clock, everyMs, signal)) {
        try {
          const psi = await probe(signal);
          if (psi !== null && psi > above) fire(`drift: a PSI of ${psi.toFixed(3)}, above ${above}`);
        } catch (error) {
          if (!signal.aborted) trouble(messageOf(error));
        }
      }
    },
  };
}

/** Waits for `ms`; returns false if the signal ended the wait. */
async function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false;
  await clock.sleep(ms, signal).catch(() => {});
  return !signal.aborted;
}

const stateSchema = z.object({ rows: z.int() });
const listingSchema = z.object({ recordings: z.array(z.object({ samples: z.int() })) });

/** Counts the rows of a project's table, the samples of its recordings, or the samples of the stream on its platform. */
export function rowsOf(project: Project, folders: PipelineFolders, context: ChosenContext | null): RowCount {
  const file = join(folders.root, 'watch.json');
  const { table } = project.config.model;
  const rows = table && resolve(project.dir, table.file);
  let last: { mtimeMs: number; size: number; lines: number } | undefined;
  return {
    async count() {
      if (rows !== undefined) {
        const found = await stat(rows).catch(() => null);
        if (!found) return 0;
        if (last?.mtimeMs !== found.mtimeMs || last.size !== found.size) {
          last = { mtimeMs: found.mtimeMs, size: found.size, lines: await linesIn(rows) };
        }
        return Math.max(0, last.lines - (table?.columns ? 0 : 1));
      }
      if (context?.kind === 'platform') return await onPlatform(project.config.stream.topic, context.name);
      const read = listingSchema.safeParse(
        await readJson(join(project.dir, 'data', 'dataset.json')).catch(() => null),
      );
      return read.success ? read.data.recordings.reduce((sum, { samples }) => sum + samples, 0) : 0;
    },
    async done() {
      const read = stateSchema.safeParse(await unless('AIOT_FILE_NOT_FOUND', readJson(file)));
      return read.success ? read.data.rows : 0;
    },
    setDone: (count) => writeJsonAtomic(file, { rows: count }),
  };
}

async function onPlatform(stream: string, context: string): Promise<number> {
  const { withClient } = await import('../../api/context.js');
  return await withClient(context, async (client) => {
    const found = await unless('AIOT_NOT_FOUND', client.datasets.get(stream));
    return found?.recordings.reduce((sum, { samples }) => sum + samples, 0) ?? 0;
  });
}

async function linesIn(file: string): Promise<number> {
  let lines = 0;
  for await (const chunk of createReadStream(file)) {
    const bytes = chunk as Buffer;
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines++;
  }
  return lines;
}
