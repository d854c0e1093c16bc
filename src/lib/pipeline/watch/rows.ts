import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { type ChosenContext, type Project, readJson, unless, writeJsonAtomic } from '../../core/index.js';
import type { PipelineFolders } from '../folders.js';
import type { RowCount } from './timers.js';

const stateSchema = z.object({ rows: z.int() });
const listingSchema = z.object({ recordings: z.array(z.object({ samples: z.int() })) });

/** Rows of a project's table, samples of its recordings, or what its platform has of the stream. */
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
  const { withClient } = await import('../../registry/index.js');
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
