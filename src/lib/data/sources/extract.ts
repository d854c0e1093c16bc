import { once } from 'node:events';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import type { StoredRecording } from '../../api/contract/data.js';
import type { GuideClient } from '../../api/guide/client.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, unless } from '../../core/errors.js';
import { makeFolder, readBytes, requireFile, syncFolder } from '../../core/files.js';
import { newId } from '../../core/names.js';
import { needsLabels, type Project } from '../../core/project.js';
import { type Listing, readListing, recordingFile, writeListing } from '../dataset/listing.js';
import { dataFolderOf, expectedOf, openDataset } from '../dataset/open.js';
import { saveRecordings } from '../dataset/write.js';
import { importRecordings } from './import.js';

/** Where the data comes from. `auto` = the platform if it has usable recordings of the stream, otherwise the project. */
export const extractSources = ['auto', 'project', 'platform'] as const;

interface ExtractOptions {
  project: Project;
  from: (typeof extractSources)[number];
  /** Folder to create, or the CSV file of a table; it must be missing or empty. */
  out: string;
  /** Overrides the project's own data: a folder of recordings, or a table. */
  data?: string;
  /** The platform's client; null = no platform is in use. */
  client: Pick<RegistryClient, 'datasets'> | null;
  /** An installation of the guide, which has rows but no recordings. */
  guide: Pick<GuideClient, 'listing' | 'rows'> | null;
  signal?: AbortSignal;
}

export const extractedSchema = z.object({
  out: z.string(),
  source: z.enum(['project', 'platform', 'guide']),
  kind: z.enum(['recordings', 'table']),
  recordings: z.int(),
  /** Number of samples in recordings, or of rows in a table. */
  rows: z.int(),
  /** Number of recordings that were omitted because they have no label. */
  unlabelled: z.int(),
  /** Number of recordings that were omitted because they lack values or have another rate. */
  rejected: z.int(),
  /** Number of lines that were omitted because they are not rows. Anyone may upload to an installation of the guide. */
  malformed: z.int(),
});

export type Extracted = z.output<typeof extractedSchema>;

/**
 * Creates a separate training dataset from a platform's labeled recordings, or from the project's own data. The files that a dataset.json
 * lists are copied one at a time, a table in chunks.
 * @throws AIOT_FOLDER_NOT_EMPTY, AIOT_DATA_EMPTY, AIOT_DATA_CHANGED, AIOT_CSV_COLUMNS, AIOT_FILE_NOT_FOUND, AIOT_CONTEXT_NOT_FOUND, and
 * any error of `importRecordings`
 */
export async function extractData(options: ExtractOptions): Promise<Extracted> {
  const { project, from, client, guide } = options;
  const out = resolve(options.out);
  if ((await readdir(out).catch(() => [])).length > 0) {
    throw new AiotError('AIOT_FOLDER_NOT_EMPTY', `${out} is not empty`);
  }
  const { table } = project.config.model;
  const file = table && resolve(options.data ?? join(project.dir, table.file));
  if (file !== undefined) {
    const asked = from === 'project' ? null : guide;
    const found = asked && (await guideRows({ ...options, guide: asked, file: out }));
    if (found && found.rows > 0)
      return { ...found, out, source: 'guide', kind: 'table', recordings: 0, unlabelled: 0, rejected: 0 };
    if (!found || (from === 'auto' && existsSync(file))) return await fromTable(file, { ...options, out });
    throw new AiotError('AIOT_DATA_EMPTY', "the guide's services cannot provide rows for this project", {
      next: "The guide's extract step labels the rows that its ingest step wrote. An autoencoder can use them directly.",
    });
  }
  if (from !== 'project' && client !== null) {
    const topic = project.config.stream.topic;
    const stored = (await unless('AIOT_NOT_FOUND', client.datasets.get(topic)))?.recordings ?? [];
    const usable = stored.filter((recording) => !learnsLabels(project) || isLabelled(recording));
    if (from === 'platform' || usable.length > 0)
      return await fromPlatform(client, topic, { ...options, out });
    // If neither has usable data, report that the platform's recordings need labels.
    const own = stored.length > 0 && (await unless('AIOT_DATA_EMPTY', fromProject({ ...options, out })));
    if (own) return own;
    if (stored.length > 0) return await fromPlatform(client, topic, { ...options, out });
  }
  if (from === 'platform') {
    throw new AiotError('AIOT_CONTEXT_NOT_FOUND', 'no platform is selected');
  }
  return await fromProject({ ...options, out });
}

async function fromTable(file: string, { project, out }: ExtractOptions): Promise<Extracted> {
  const shape = project.config.model.table;
  await requireFile(file);
  let rows = 0;
  let head = '';
  let ended = true;
  for await (const chunk of createReadStream(file)) {
    const bytes = chunk as Buffer;
    if (!head.includes('\n') && head.length < 65_536) head += bytes.toString('utf8');
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) rows++;
    ended = bytes.at(-1) === 10;
  }
  if (!ended) rows++;
  const names = shape?.columns ?? columnsIn(head);
  const label = shape?.label ?? 'label';
  const needed = [...(shape?.inputs ?? []), ...(needsLabels(project.config) ? [label] : [])];
  const missing = needed.find((name) => !names.includes(name));
  if (missing !== undefined) {
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${file}: expected a column ${missing}, got ${names.slice(0, 12).join(', ')}`,
    );
  }
  await makeFolder(dirname(out));
  await copyFile(file, out);
  const header = shape?.columns ? 0 : 1;
  return {
    ...{ out, source: 'project', kind: 'table', recordings: 0, unlabelled: 0, rejected: 0, malformed: 0 },
    rows: Math.max(0, rows - header),
  };
}

function columnsIn(head: string): string[] {
  const [line = ''] = head.replace(/^\uFEFF/, '').split(/\r?\n/);
  return line.split(',').map((name) => name.trim().replace(/^"(.*)"$/, '$1'));
}

async function fromProject({ project, data, out, signal }: ExtractOptions): Promise<Extracted> {
  const folder = data === undefined ? dataFolderOf(project) : resolve(data);
  const listing = await readListing(folder);
  if (!listing) {
    const { recordings } = await openDataset(project, data);
    await saveRecordings({ folder: out, config: project.config, recordings });
    const rows = recordings.reduce((sum, { columns }) => sum + (columns[0]?.length ?? 0), 0);
    return told(out, 'project', recordings.length, rows, 0);
  }
  if (listing.recordings.length === 0) throw new AiotError('AIOT_DATA_EMPTY', `no recordings in ${folder}`);
  await mkdir(join(out, 'recordings'), { recursive: true });
  for (const entry of listing.recordings) {
    const { id, sha256 } = entry;
    signal?.throwIfAborted();
    const from = recordingFile(folder, entry);
    const bytes = await readBytes(from).catch((cause: unknown) => {
      throw new AiotError('AIOT_DATA_CHANGED', `dataset.json lists ${id}, but ${from} is not readable`, {
        cause,
      });
    });
    if (sha256Hex(bytes) !== sha256) {
      throw new AiotError('AIOT_DATA_CHANGED', `${from} does not match dataset.json: its SHA-256 differs`);
    }
    await copyFile(from, recordingFile(out, entry));
  }
  await writeListing(out, listing);
  return told(out, 'project', listing.recordings.length, samplesOf(listing), 0);
}

async function fromPlatform(
  client: Pick<RegistryClient, 'datasets'>,
  name: string,
  { project, out, signal }: ExtractOptions,
): Promise<Extracted> {
  await makeFolder(dirname(out));
  // The dataset is created in a folder beside the destination and then moved, so that the destination is always complete.
  const staging = await mkdtemp(join(dirname(out), `.${basename(out)}-`));
  try {
    const { rejected } = await importRecordings({
      ...{ project: { ...project, dir: staging }, stream: { name, client }, signal },
    });
    const folder = join(staging, 'data');
    const listing = (await readListing(folder)) ?? {
      spec: 'aiot-dataset/1' as const,
      fields: expectedOf(project.config).fields,
      recordings: [],
    };
    const kept = listing.recordings.filter(({ label }) => label !== null || !learnsLabels(project));
    const left = listing.recordings.filter((each) => !kept.includes(each));
    if (kept.length === 0) {
      throw new AiotError(
        'AIOT_DATA_EMPTY',
        `the platform has ${left.length} complete recordings of ${name}, but none has a label`,
        { next: `Label some of them with \`aiot data label ${name}/DEVICE/RECORDING LABEL\`.` },
      );
    }
    for (const entry of left) await rm(recordingFile(folder, entry), { force: true });
    await writeListing(folder, { ...listing, recordings: kept });
    await rm(join(folder, '.lock'), { force: true });
    await rm(out, { recursive: true, force: true });
    await rename(folder, out);
    const rows = samplesOf({ ...listing, recordings: kept });
    return { ...told(out, 'platform', kept.length, rows, left.length), rejected: rejected.length };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

function learnsLabels({ config }: Project): boolean {
  return Object.keys(config.model.labels).length > 0;
}

function isLabelled({ label, parts }: StoredRecording): boolean {
  return label !== null || parts.length > 0;
}

function samplesOf({ recordings }: Listing): number {
  return recordings.reduce((sum, { samples }) => sum + samples, 0);
}

function told(
  out: string,
  source: Extracted['source'],
  recordings: number,
  rows: number,
  unlabelled: number,
): Extracted {
  return { out, source, kind: 'recordings', recordings, rows, unlabelled, rejected: 0, malformed: 0 };
}

/** Measurements of a board of the guide: the inputs of a model unless the project specifies others. */
const measured = ['current', 'temperature', 'vibration', 'sound'];

/** Columns in the guide's files, in order. The last column exists only if rows are labeled. */
const columns = ['deviceID', 'timeStamp', ...measured, 'label'];

interface GuideRowsOptions {
  project: Project;
  guide: Pick<GuideClient, 'listing' | 'rows'>;
  /** The CSV file to write; with a header, unless the project specifies that its rows have none. */
  file: string;
  signal?: AbortSignal;
}

interface GuideRows {
  rows: number;
  /** Number of lines that are not rows. */
  malformed: number;
}

/**
 * Writes all rows of an installation of the guide into one file, in the columns of the project's table. Writes nothing if there are no
 * rows. Only one of the installation's files is in memory at a time.
 * @throws AIOT_CSV_COLUMNS, AIOT_FILE_NOT_WRITABLE, and any client error
 */
async function guideRows({ project, guide, file, signal }: GuideRowsOptions): Promise<GuideRows> {
  const labelled = needsLabels(project.config);
  const chosen = chosenColumns(project, labelled);
  const { files } = await guide.listing(labelled);
  const told: GuideRows = { rows: 0, malformed: 0 };
  if (files.length === 0) return told;
  await makeFolder(dirname(file));
  const part = `${file}.${newId('part')}.tmp`;
  const sink = createWriteStream(part, { flush: true });
  const done = finished(sink);
  // The promise is awaited below; until then a disk error must not become an unhandled rejection.
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

/** The columns of the guide that the project's table needs, and their names in the table. @throws AIOT_CSV_COLUMNS */
function chosenColumns({ config }: Project, labelled: boolean) {
  const { inputs = measured, label = 'label', columns: unheaded } = config.model.table ?? {};
  const place = (name: string) => (name === label && labelled ? columns.length - 1 : columns.indexOf(name));
  const names = unheaded ?? [...inputs, ...(labelled ? [label] : [])];
  const missing = names.find((name) => place(name) < 0 || (!labelled && place(name) === columns.length - 1));
  if (missing === undefined) return { places: names.map(place), header: unheaded ? null : names.join(',') };
  const there = labelled ? columns : columns.slice(0, -1);
  throw new AiotError('AIOT_CSV_COLUMNS', `the guide's rows have ${there.join(', ')}, but no ${missing}`, {
    next: 'Set model.table.inputs to the names of the input columns.',
  });
}

/** The rows of a file with only these columns, without its header. */
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
