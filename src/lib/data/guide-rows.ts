import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { finished } from 'node:stream/promises';
import { AiotError, makeFolder, needsLabels, newId, type Project, syncFolder } from '../core/index.js';
import type { GuideClient } from '../registry/index.js';

/** What a board of the guide measures, which a network takes unless the project names its inputs. */
const measured = ['current', 'temperature', 'vibration', 'sound'];
/** Of its files, in their order; the last is there where rows are labelled. */
const columns = ['deviceID', 'timeStamp', ...measured, 'label'];

export interface GuideRowsOptions {
  project: Project;
  guide: Pick<GuideClient, 'listing' | 'rows'>;
  /** The CSV file to write; with a header unless the project says that its rows have none. */
  file: string;
  signal?: AbortSignal;
}

export interface GuideRows {
  rows: number;
  /** Lines that are none. */
  malformed: number;
}

/**
 * Puts all rows of an installation of the guide into one file, in the columns of the project's table. Nothing is written where there
 * are none. One of its files at a time is in memory.
 * @throws AIOT_CSV_COLUMNS, AIOT_FILE_NOT_WRITABLE, and what the client throws
 */
export async function guideRows({ project, guide, file, signal }: GuideRowsOptions): Promise<GuideRows> {
  const labelled = needsLabels(project.config);
  const chosen = chosenColumns(project, labelled);
  const { files } = await guide.listing(labelled);
  const told: GuideRows = { rows: 0, malformed: 0 };
  if (files.length === 0) return told;
  await makeFolder(dirname(file));
  const part = `${file}.${newId('part')}.tmp`;
  const sink = createWriteStream(part, { flush: true });
  const done = finished(sink);
  // Awaited below; until then a failure of the disk is nobody's.
  done.catch(() => {});
  try {
    if (chosen.header !== null) sink.write(`${chosen.header}\n`);
    for (const { url } of files) {
      signal?.throwIfAborted();
      const text = Buffer.from(await guide.rows(url)).toString('utf8');
      if (!sink.write(rowsIn(text, labelled, chosen.places, told)))
        await Promise.race([once(sink, 'drain'), done]);
    }
    sink.end();
    await done;
    if (told.rows > 0) {
      await rename(part, file);
      await syncFolder(dirname(file));
    }
    return told;
  } finally {
    sink.destroy();
    await rm(part, { force: true });
  }
}

/** Which of the guide's columns go into the project's table, and under which names. @throws AIOT_CSV_COLUMNS */
function chosenColumns({ config }: Project, labelled: boolean) {
  const { inputs = measured, label = 'label', columns: unheaded } = config.model.table ?? {};
  const place = (name: string) => (name === label && labelled ? columns.length - 1 : columns.indexOf(name));
  const names = unheaded ?? [...inputs, ...(labelled ? [label] : [])];
  const missing = names.find((name) => place(name) < 0 || (!labelled && place(name) === columns.length - 1));
  if (missing === undefined) return { places: names.map(place), header: unheaded ? null : names.join(',') };
  const there = labelled ? columns : columns.slice(0, -1);
  throw new AiotError('AIOT_CSV_COLUMNS', `the guide’s rows have ${there.join(', ')}, and no ${missing}`, {
    next: 'model.table.inputs names the columns that are inputs.',
  });
}

/** The rows of a file in those columns, without its header where it has one. */
function rowsIn(text: string, labelled: boolean, places: readonly number[], told: GuideRows): string {
  const lines: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (line === '' || line.startsWith('deviceID,')) continue;
    const cells = line.split(',');
    if (!isRow(cells, labelled)) told.malformed++;
    else lines.push(`${places.map((at) => cells[at]).join(',')}\n`);
  }
  told.rows += lines.length;
  return lines.join('');
}

function isRow(cells: readonly string[], labelled: boolean): boolean {
  const numbers = cells.slice(2, 2 + measured.length);
  const whole = cells.length === (labelled ? columns.length : columns.length - 1);
  return (
    whole &&
    numbers.every((cell) => /^\s*[-+]?\d/.test(cell) && Number.isFinite(Number(cell))) &&
    !cells.includes('')
  );
}
