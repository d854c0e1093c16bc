import { once } from 'node:events';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import * as z from 'zod';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, unless } from '../../core/errors.js';
import { makeFolder, readBytes, requireFile, syncFolder } from '../../core/files.js';
import { newId } from '../../core/names.js';
import { needsLabels, type Project } from '../../core/project.js';
import type { RegistryClient } from '../../registry/client.js';
import type { StoredRecording } from '../../registry/datasets/bodies.js';
import type { GuideClient } from '../../registry/guide/client.js';
import { type Listing, readListing, recordingFile, writeListing } from '../dataset/listing.js';
import { dataFolderOf, expectedOf, openDataset } from '../dataset/open.js';
import { saveRecordings } from '../dataset/write.js';
import { importRecordings } from './import.js';

/** Where data is taken from; `auto` = the platform where it has recordings of the stream that can be learned from, else the project. */
export const extractSources = ['auto', 'project', 'platform'] as const;

interface ExtractOptions {
  project: Project;
  from: (typeof extractSources)[number];
  /** Folder to make, or the CSV file of a table; it must not be there, or be empty. */
  out: string;
  /** Instead of the project's own data: a folder of recordings, or a table. */
  data?: string;
  /** The platform's client; null = no platform is in use. */
  client: Pick<RegistryClient, 'datasets'> | null;
  /** An installation of the guide; it has rows, and no recordings. */
  guide: Pick<GuideClient, 'listing' | 'rows'> | null;
  signal?: AbortSignal;
}

export const extractedSchema = z.object({
  out: z.string(),
  source: z.enum(['project', 'platform', 'guide']),
  kind: z.enum(['recordings', 'table']),
  recordings: z.int(),
  /** Samples of recordings, or rows of a table. */
  rows: z.int(),
  /** Recordings without a label, which nothing can be learned from: left out. */
  unlabelled: z.int(),
  /** Lines of an installation of the guide that are no rows, for anybody may upload there: left out. */
  malformed: z.int(),
});

export type Extracted = z.output<typeof extractedSchema>;

/**
 * Makes a dataset for training of its own, of what a platform has recorded and labelled, or of the project's own data. A file at a time
 * is in memory, of a table a piece of it.
 * @throws AIOT_FOLDER_NOT_EMPTY, AIOT_DATA_EMPTY, AIOT_DATA_CHANGED, AIOT_CSV_COLUMNS, AIOT_FILE_NOT_FOUND, and what `importRecordings` throws
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
      return { ...found, out, source: 'guide', kind: 'table', recordings: 0, unlabelled: 0 };
    if (!found || (from === 'auto' && existsSync(file))) return await fromTable(file, { ...options, out });
    throw new AiotError('AIOT_DATA_EMPTY', 'the guide’s services have no rows for this project', {
      next: 'Its extract step labels what its ingest has written; an autoencoder takes that as it is.',
    });
  }
  if (from !== 'project' && client !== null) {
    const topic = project.config.stream.topic;
    const stored = (await unless('AIOT_NOT_FOUND', client.datasets.get(topic)))?.recordings ?? [];
    const usable = stored.filter((recording) => !learnsLabels(project) || isLabelled(recording));
    if (from === 'platform' || usable.length > 0)
      return await fromPlatform(client, topic, { ...options, out });
    // Where neither has anything to learn from, what the platform has wants a label.
    const own = stored.length > 0 && (await unless('AIOT_DATA_EMPTY', fromProject({ ...options, out })));
    if (own) return own;
    if (stored.length > 0) return await fromPlatform(client, topic, { ...options, out });
  }
  if (from === 'platform') {
    throw new AiotError('AIOT_CONTEXT_NOT_FOUND', 'no platform is in use');
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
    ...{ out, source: 'project', kind: 'table', recordings: 0, unlabelled: 0, malformed: 0 },
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
  for (const { id, sha256 } of listing.recordings) {
    signal?.throwIfAborted();
    const from = recordingFile(folder, id);
    const bytes = await readBytes(from).catch((cause: unknown) => {
      throw new AiotError('AIOT_DATA_CHANGED', `dataset.json lists ${id}, but ${from} cannot be read`, {
        cause,
      });
    });
    if (sha256Hex(bytes) !== sha256) {
      throw new AiotError(
        'AIOT_DATA_CHANGED',
        `${from} is not the file that dataset.json lists: its SHA-256 differs`,
      );
    }
    await copyFile(from, recordingFile(out, id));
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
  // Made beside it: what is at the end is there as a whole.
  const staging = await mkdtemp(join(dirname(out), `.${basename(out)}-`));
  try {
    await importRecordings({ project: { ...project, dir: staging }, stream: { name, client }, signal });
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
        `the platform has ${left.length} recordings of ${name}, and none with a label`,
        { next: `aiot data label ${name} DEVICE RECORDING LABEL` },
      );
    }
    for (const { id } of left) await rm(recordingFile(folder, id), { force: true });
    await writeListing(folder, { ...listing, recordings: kept });
    await rm(join(folder, '.lock'), { force: true });
    await rm(out, { recursive: true, force: true });
    await rename(folder, out);
    return told(out, 'platform', kept.length, samplesOf({ ...listing, recordings: kept }), left.length);
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
  return { out, source, kind: 'recordings', recordings, rows, unlabelled, malformed: 0 };
}

/** Measurements of a board of the guide: a network's inputs unless the project names others. */
const measured = ['current', 'temperature', 'vibration', 'sound'];

/** Columns of the guide's files, in order; the last exists only where rows are labelled. */
const columns = ['deviceID', 'timeStamp', ...measured, 'label'];

interface GuideRowsOptions {
  project: Project;
  guide: Pick<GuideClient, 'listing' | 'rows'>;
  /** The CSV file to write; with a header unless the project says that its rows have none. */
  file: string;
  signal?: AbortSignal;
}

interface GuideRows {
  rows: number;
  /** Lines that are none. */
  malformed: number;
}

/**
 * Puts all rows of an installation of the guide into one file, in the columns of the project's table. Nothing is written where there
 * are none. One of its files at a time is in memory.
 * @throws AIOT_CSV_COLUMNS, AIOT_FILE_NOT_WRITABLE, and what the client throws
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
