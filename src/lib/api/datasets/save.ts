import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { readText, requireWritable, syncFolder } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { parsedJson } from '../../core/text.js';
import type { RegistryClient } from '../client.js';
import {
  type ExportQuery,
  exportFormats,
  exportSummarySchema,
  type LabelsRequest,
  labelsRequestSchema,
} from '../contract/data.js';
import { parseRecordingPlace } from './place.js';

export const exportedSchema = z.object({
  stream: z.string(),
  format: z.enum(exportFormats),
  /** Absolute path of the file. */
  file: z.string(),
  bytes: z.int(),
  /** Rows that are missing from the file because the platform could not read them. */
  damaged: exportSummarySchema.shape.damaged,
});
export type Exported = z.output<typeof exportedSchema>;

/**
 * Writes a stream's samples to a file, completely or not at all.
 * @throws AIOT_NOT_FOUND, AIOT_FILE_NOT_WRITABLE, and errors of the client
 */
export async function exportDataset(
  client: Pick<RegistryClient, 'datasets'>,
  options: {
    stream: string;
    query: ExportQuery;
    out: string;
    signal?: AbortSignal;
    onBytes?: (bytes: number) => void;
  },
): Promise<Exported> {
  const { stream, query, out, signal, onBytes } = options;
  await requireWritable(out);
  const file = resolve(out);
  const temporary = join(dirname(file), `.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const body = await client.datasets.export(stream, query, signal);
    const bytes = await writeAll(temporary, body, out, onBytes);
    await rename(temporary, file);
    await syncFolder(dirname(file));
    const { damaged } = body.summary() ?? { damaged: { rows: 0, places: [], more: 0 } };
    return { stream, format: query.format ?? 'csv', file, bytes, damaged };
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeAll(
  path: string,
  body: AsyncIterable<Uint8Array>,
  shown: string,
  onBytes: (bytes: number) => void = () => {},
): Promise<number> {
  const refused = (error: unknown) => {
    const reason = systemCode(error) ?? 'unknown error';
    return new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${shown} (${reason})`, {
      cause: error,
      endpoint: shown,
    });
  };
  const file = await open(path, 'wx').catch((error: unknown) => {
    throw refused(error);
  });
  let bytes = 0;
  try {
    for await (const chunk of body) {
      for (let done = 0; done < chunk.length; ) {
        const { bytesWritten } = await file.write(chunk, done).catch((error: unknown) => {
          throw refused(error);
        });
        done += bytesWritten;
      }
      bytes += chunk.length;
      onBytes(bytes);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return bytes;
}

/**
 * Reads labels from a file: one per line as `device,recording,label` or `device,recording,label,from,to` (ms since
 * 1970), or as JSON objects with these members. An empty label removes the existing label.
 * @throws AIOT_FILE_MALFORMED with the line, and read errors
 */
export async function readLabels(path: string): Promise<LabelsRequest['labels']> {
  const labels: unknown[] = [];
  for (const [i, line] of (await readText(path)).split(/\r?\n/).entries()) {
    if (line.trim() === '' || (i === 0 && /^device,recording,label\b/.test(line))) continue;
    const label = line.startsWith('{') ? (parsedJson(line) ?? null) : cellsOf(line);
    const parsed = labelsRequestSchema.shape.labels.element.safeParse(label);
    if (!parsed.success) {
      const reason = issueText(parsed.error, 'the label', label);
      throw new AiotError('AIOT_FILE_MALFORMED', `${path}: line ${i + 1}: ${reason}`);
    }
    labels.push(parsed.data);
  }
  return labels as LabelsRequest['labels'];
}

function cellsOf(line: string): unknown {
  const [device, recording, label, from, to] = line.split(',').map((cell) => cell.trim());
  const time = (cell: string | undefined) => (cell === undefined || cell === '' ? {} : { at: Number(cell) });
  const [begin, end] = [time(from).at, time(to).at];
  return {
    device,
    recording,
    label: label === '' ? null : label,
    ...(begin === undefined ? {} : { from: begin }),
    ...(end === undefined ? {} : { to: end }),
  };
}

/** The labels to set or remove on the platform, as given on the command line. @throws AIOT_USAGE, and the errors of `readLabels` */
export async function labelsFor(
  { recording: at, label }: { recording: string; label?: string | undefined },
  {
    from,
    to,
    remove = false,
    file,
  }: { from?: number | undefined; to?: number | undefined; remove?: boolean; file?: string | undefined },
): Promise<{ stream: string; labels: LabelsRequest['labels'] }> {
  if (file !== undefined) return { stream: at, labels: await readLabels(file) };
  const place = parseRecordingPlace(at);
  if (place === null || (label === undefined) !== remove) {
    const what = remove ? 'and no LABEL with --remove' : 'and a LABEL';
    throw new AiotError('AIOT_USAGE', `expected STREAM/DEVICE/RECORDING ${what}, or STREAM --file FILE`);
  }
  const { stream, ...which } = place;
  return {
    stream,
    labels: [{ ...which, label: label ?? null, ...(from === undefined ? {} : { from, to }) }],
  };
}

/** Maximum number of labels in one request. */
const together = 10_000;

/** Sets any number of labels. Each request sets all of its labels or none. @returns number of labels set */
export async function giveLabels(
  client: Pick<RegistryClient, 'datasets'>,
  stream: string,
  labels: LabelsRequest['labels'],
): Promise<{ stream: string; labels: number }> {
  let given = 0;
  for (let i = 0; i < labels.length; i += together) {
    given += await client.datasets.label(stream, { labels: labels.slice(i, i + together) });
  }
  return { stream, labels: given };
}
export const givenLabelsSchema = z.object({ stream: z.string(), labels: z.int() });
