import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { makeFolder, writeFileAtomic } from '../../core/files.js';
import type { Project } from '../../core/project.js';
import { onAbort } from '../../core/tasks.js';
import { shellWord } from '../../core/text.js';
import { writeCsv } from '../../formats/csv/table.js';
import { deliveriesOf, type Source, type StreamOptions } from '../../stream/message.js';
import { openSource } from '../../stream/open.js';
import { shownUrl } from '../../stream/url.js';
import { dataFolderOf, expectedOf } from '../dataset/open.js';
import { refuseOtherFields } from '../dataset/read.js';
import { recordingLine, recordingLineSchema } from '../dataset/summary.js';
import { addRecordings, changeData, listingOf, refuseLabel } from '../dataset/write.js';
import type { Recording } from '../types.js';
import { createTake, samplesOf, type Take } from './take.js';

interface RecordOptions {
  project: Project;
  /** Address of the stream; absent = the project's stream on the current platform. */
  url?: string;
  /** Connection options: credentials, context. */
  stream?: StreamOptions;
  /** Label of the recording; absent = not labeled. */
  label?: string;
  /** Stops after this time, ms. */
  forMs?: number;
  /** Stops after this many samples of one device. */
  count?: number;
  /** Stops the recording; samples received until then are saved. */
  signal?: AbortSignal;
  /** Called with the address of the broker, and with the address of the messages, without credentials. */
  onOpen?: (endpoint: string, address: string) => void;
  onProgress?: (samples: number, devices: number) => void;
}

export const recordResultSchema = z.object({
  /** Absolute folder. */
  folder: z.string(),
  /** One recording for each device that sent samples. */
  recordings: z.array(recordingLineSchema),
  /** Number of messages without samples of this project's fields. */
  ignored: z.int(),
  /** Number of duplicate messages, which are ignored. At-least-once delivery may cause them. */
  duplicates: z.int(),
});

type RecordResult = z.output<typeof recordResultSchema>;

/**
 * Records a live stream into the project's data folder, one recording per device, until the time or the count is reached, the stream ends,
 * or `signal` is aborted. Samples received so far are saved in every case; takes at another rate are written to DATA/refused.
 * @throws AIOT_LABEL_UNKNOWN (before anything is opened), AIOT_DATA_EMPTY (nothing was received), AIOT_DATA_RATE, and any error of the
 * stream
 */
export async function recordStream(options: RecordOptions): Promise<RecordResult> {
  const { project, label = null } = options;
  const { config } = project;
  const expected = expectedOf(config);
  if (label !== null) refuseLabel(label, expected);
  const folder = dataFolderOf(project);
  refuseOtherFields(folder, await listingOf(folder, expected), expected);
  const { topic } = config.stream;
  const url = options.url ?? `aiot:///aiot/v1/+/telemetry/${topic}`;
  const source = await openSource(url, options.stream);
  const address = shownUrl(url);
  options.onOpen?.(source.endpoint, address);
  const heard = await listen(source, options, expected.fields);
  const takes = heard.takes.filter(({ samples }) => samples > 0);
  if (takes.length === 0) {
    throw (
      heard.failure ??
      new AiotError(
        'AIOT_DATA_EMPTY',
        `no samples arrived from ${source.endpoint} (${address})${heard.reason}`,
        {
          next:
            options.url === undefined
              ? `Start a device that sends samples to the stream ${topic} (stream.topic), such as \`aiot device simulate DEVICE --recording FILE.csv --stream ${topic} --loop\`. A virtual device with --predict sends only predictions, so restart it without that flag. To see all streams, run \`aiot data streams\`.`
              : `Check that devices are sending. To see the messages, run \`aiot stream tail ${shellWord(address)}\`.`,
        },
      )
    );
  }
  const { rateHz } = expected;
  const refused = takes.filter((take) => take.otherRate(rateHz) !== null);
  const good = takes.filter((take) => !refused.includes(take));
  const aside = join(folder, 'refused');
  // The listing is read again, because another process may have added recordings meanwhile.
  const { recordings, set } = await changeData(folder, expected, async (listing) => {
    const there = refused.length > 0 ? await readdir(aside).catch(() => []) : [];
    const taken = new Set([
      ...listing.recordings.map(({ id }) => id),
      ...there.map((name) => name.replace(/\.csv$/, '')),
    ]);
    const finish = (take: Take) => take.finish(freeId(label ?? 'unlabelled', taken), label, rateHz);
    const finished = good.map(finish);
    if (finished.length > 0) await addRecordings(folder, listing, finished);
    return { recordings: finished, set: await setAside(aside, refused.map(finish)) };
  });
  if (refused.length > 0) throw otherRates(refused, rateHz, recordings, set);
  if (heard.failure) throw keeping(heard.failure, recordings);
  const { ignored, duplicates } = heard;
  return { folder, recordings: recordings.map(recordingLine), ignored, duplicates };
}

/** The next free number after the label: walking1, walking2, … */
function freeId(stem: string, taken: Set<string>): string {
  let number = 1;
  while (taken.has(`${stem}${number}`)) number++;
  taken.add(`${stem}${number}`);
  return `${stem}${number}`;
}

async function listen(source: Source, options: RecordOptions, fields: string[]) {
  const { project, count = Number.POSITIVE_INFINITY, forMs, signal, onProgress } = options;
  const takes = new Map<string | null, Take>();
  let ignored = 0;
  let duplicates = 0;
  let reason = '';
  let failure: unknown;
  let stopped = false;
  let closing = Promise.resolve();
  const stop = () => {
    if (!stopped) closing = source.close();
    stopped = true;
  };
  const timer = forMs === undefined ? undefined : setTimeout(stop, forMs);
  const leave = onAbort(signal, stop);
  try {
    for await (const delivery of deliveriesOf(source)) {
      if (stopped) break;
      const samples = samplesOf(delivery.message, project.config);
      delivery.ack();
      if (typeof samples === 'string') {
        ignored++;
        reason ||= `: ${samples}`;
        continue;
      }
      const take = takes.get(samples.device) ?? createTake(samples.device, fields);
      takes.set(samples.device, take);
      if (!take.add(samples, count)) duplicates++;
      onProgress?.(take.samples, takes.size);
      if (take.samples >= count) stop();
    }
  } catch (error) {
    failure = error;
  } finally {
    clearTimeout(timer);
    leave();
    stop();
    await closing;
  }
  return { takes: [...takes.values()], ignored, duplicates, reason, failure };
}

/** Writes recordings that do not match the dataset to a folder beside it. @returns the files' paths */
async function setAside(folder: string, recordings: Recording[]): Promise<string[]> {
  const files: string[] = [];
  for (const { id, fields, columns } of recordings) {
    await makeFolder(folder);
    const file = join(folder, `${id}.csv`);
    await writeFileAtomic(file, writeCsv(fields, columns));
    files.push(file);
  }
  return files;
}

/** The error about rejected takes, which were saved as separate files. */
function otherRates(takes: Take[], rateHz: number, kept: Recording[], files: string[]): unknown {
  const rates = takes.map((take) => {
    const got = take.otherRate(rateHz)?.toFixed(1);
    return `${take.device ?? 'the device'}: expected ${rateHz} samples per second (signal.rate), got about ${got}`;
  });
  const message = `${rates.join('; ')}; set aside in ${files.join(', ')}`;
  return keeping(new AiotError('AIOT_DATA_RATE', message), kept);
}

/** The error about rejected takes, with the IDs of the recordings that were saved nevertheless. */
function keeping(error: unknown, kept: Recording[]): unknown {
  if (!(error instanceof AiotError) || kept.length === 0) return error;
  const { code, message, next, endpoint, retryable } = error;
  const ids = kept.map(({ id }) => id).join(', ');
  return new AiotError(code, `${message}; recorded successfully: ${ids}`, {
    next,
    endpoint,
    retryable,
    cause: error,
  });
}
