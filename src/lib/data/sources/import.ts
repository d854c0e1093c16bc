import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import { exportDataset } from '../../api/datasets/save.js';
import { canonicalJson, sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { dictionary, namePattern } from '../../core/names.js';
import type { Project } from '../../core/project.js';
import { shellWord } from '../../core/text.js';
import { listIds } from '../check/report.js';
import { type Listing, readListing } from '../dataset/listing.js';
import { dataFolderOf, expectedOf, looseFolder } from '../dataset/open.js';
import {
  type Expected,
  idOfFile,
  isPicture,
  readListed,
  readLoose,
  recordingFilesIn,
  refuseOtherFields,
} from '../dataset/read.js';
import { isSound } from '../dataset/sound.js';
import { recordingLine, recordingLineSchema } from '../dataset/summary.js';
import { addRecordings, changeData, fileContents, listingOf, refuseLabel } from '../dataset/write.js';
import { type TimeColumn, timeColumnSchema } from '../tables/columns.js';
import { readWithRoles } from '../tables/loose-file.js';
import type { Recording } from '../types.js';
import { isAnnotations, readAnnotations, vocFilesIn } from './annotations.js';
import { type BoxUse, recordingsOfBoxes, type Unused } from './boxes.js';
import { isExported, isParquet, readExported, type Unusable } from './platform-export.js';

interface ImportOptions {
  project: Project;
  /** A CSV or sound file or a picture, a folder of them, a data folder with its dataset.json, or a CSV or NDJSON file written by `data export`. Annotations of pictures: a COCO file, or Pascal VOC files. */
  from?: string | undefined;
  /** Alternative source: the platform's recordings of this stream. */
  stream?: { name: string; client: Pick<RegistryClient, 'datasets'> } | undefined;
  /** Folder of the annotated pictures. Default: beside the annotations. */
  pictures?: string;
  /** How boxes in annotations are used. Default: crop, or keep if the project's model finds objects. */
  boxes?: BoxUse;
  /** Whether boxes with labels that are missing in model.labels are skipped instead of rejected. */
  knownOnly?: boolean;
  /** Label of all imported recordings. Default: from dataset.json or the file names. */
  label?: string;
  /** The device that made the recordings. */
  device?: string;
  /** Sampling rate, Hz; must be equal to the project's signal.rate. */
  rateHz?: number;
  /** Whether to check everything without writing anything. */
  dryRun?: boolean;
  /** Aborts the import; nothing is written then. */
  signal?: AbortSignal;
}

export const importResultSchema = z.object({
  /** Absolute folder. */
  folder: z.string(),
  imported: z.array(recordingLineSchema),
  /** IDs of recordings that already exist with the same content. */
  skipped: z.array(z.string()),
  /** Recordings of an export or a stream that cannot be used. They do not prevent the import of the others. */
  rejected: z.array(
    z.object({
      /** Null for a file. */
      stream: z.string().nullable(),
      device: z.string(),
      recording: z.string(),
      reason: z.string(),
      /** The remedy, a sentence. */
      next: z.string(),
    }),
  ),
  /** Imported WAV files with a rate other than the project's, by ID, and their rates in Hz. */
  resampled: z.record(z.string(), z.number()),
  /** Time column of the first CSV file that has one; its values are not imported. */
  time: timeColumnSchema.nullable(),
  /** Annotations that were not imported, by reason; null = no annotations were read. */
  unused: z
    .object({
      /** Pictures without any box. */
      unlabeled: z.int(),
      /** Boxes that surround several objects (`iscrowd` of COCO). */
      crowds: z.int(),
      /** Boxes with labels that are missing in model.labels. */
      unknown: z.int(),
      /** Boxes whose center is cut off when the picture is fitted to the project's size. */
      cropped: z.int(),
    })
    .nullable(),
  dryRun: z.boolean(),
});

type ImportResult = z.output<typeof importResultSchema>;
type Rejected = ImportResult['rejected'][number];

/**
 * Copies recordings into a project's data folder; everything is read and checked before anything is written.
 * @throws AIOT_USAGE (neither a file nor a stream, both, or a file name that is not a valid recording name), AIOT_FILE_NOT_FOUND,
 * AIOT_FILE_MALFORMED, AIOT_LABELS_SEVERAL (boxes as whole pictures), AIOT_DATA_EMPTY, AIOT_DATA_RATE, AIOT_LABEL_UNKNOWN, AIOT_ALREADY_EXISTS (another recording of that name), AIOT_CSV_*,
 * AIOT_DATA_COLUMNS (the recordings that are already in the folder have other fields)
 */
export async function importRecordings(options: ImportOptions): Promise<ImportResult> {
  const { project, dryRun = false, signal } = options;
  const expected = expectedOf(project.config);
  if (options.rateHz !== undefined && options.rateHz !== expected.rateHz) {
    throw new AiotError(
      'AIOT_DATA_RATE',
      `expected recordings at ${expected.rateHz} samples per second (signal.rate), got ${options.rateHz}`,
    );
  }
  if (options.label !== undefined) refuseLabel(options.label, expected);
  if (options.device !== undefined && !namePattern.test(options.device)) {
    throw new AiotError(
      'AIOT_USAGE',
      `--device: expected a name of at most 64 letters, digits, dots, dashes and underscores, got "${options.device}"`,
    );
  }
  const folder = dataFolderOf(project);
  const present = await readListing(folder);
  if (present) refuseOtherFields(folder, present, expected);
  const { found, rejected, unused = null, time = null } = await findRecordings(options, expected);
  const sorted = (listing: Listing) => sortOut(found, listing, folder, options, expected);
  let { fresh, skipped, changed } = sorted(await listingOf(folder, expected));
  if (!dryRun && fresh.length > 0) {
    await changeData(folder, expected, async (listing) => {
      ({ fresh, skipped, changed } = sorted(listing));
      await addRecordings(folder, listing, fresh, undefined, signal);
    });
  }
  const resampled = dictionary<number>();
  for (const { id, originalHz } of fresh) if (originalHz !== undefined) resampled[id] = originalHz;
  const imported = fresh.map(recordingLine);
  return { folder, imported, skipped, rejected: [...rejected, ...changed], resampled, time, unused, dryRun };
}

/**
 * Separates new recordings, to which the given label and device are assigned, from those that already exist. An unlabeled recording of a
 * stream may have grown since an earlier import, which must not prevent the import of the others.
 */
function sortOut(
  found: Found[],
  listing: Listing,
  folder: string,
  options: ImportOptions,
  expected: Expected,
): { fresh: Recording[]; skipped: string[]; changed: Rejected[] } {
  const there = new Map(listing.recordings.map((entry) => [entry.id, entry]));
  const fresh: Recording[] = [];
  const skipped: string[] = [];
  const changed: Rejected[] = [];
  for (const { recording, sha256, origin } of found) {
    const named = {
      ...recording,
      label: options.label ?? recording.label,
      device: options.device ?? recording.device,
    };
    if (named.label !== null) refuseLabel(named.label, expected, named.id);
    const before = there.get(named.id);
    if (before === undefined) fresh.push(named);
    else if (
      canonicalJson(before.boxes ?? null) === canonicalJson(named.boxes ?? null) &&
      (before.sha256 === sha256 || before.sha256 === sha256Hex(fileContents(named)))
    ) {
      skipped.push(named.id);
    } else if (origin && named.label === null) {
      const reason = `the project already has a different recording ${named.id}`;
      const next = `To import it again, first remove the existing one: aiot data remove ${named.id}`;
      changed.push({ ...origin, reason, next });
    } else {
      throw new AiotError('AIOT_ALREADY_EXISTS', `${folder} already has a different recording ${named.id}`, {
        subject: 'recording',
        next: `Rename the file, and its entry in annotations if there are any. To replace the existing recording instead, first run \`aiot data remove ${shellWord(named.id)}\`.`,
      });
    }
  }
  return { fresh, skipped, changed };
}

interface Found {
  recording: Recording;
  /** Digest of the file's bytes; null for an export, or if it was already verified against a listing. */
  sha256: string | null;
  /** Place on the platform, for a recording of an export or a stream. */
  origin?: Pick<Rejected, 'stream' | 'device' | 'recording'>;
}

/** Recordings to import, recordings that cannot be used and, for annotations, the numbers of items that are not imported. */
interface Findings {
  found: Found[];
  rejected: Rejected[];
  unused?: Unused;
  /** Time column of the first file that has one. */
  time?: TimeColumn | null;
}

async function findRecordings(options: ImportOptions, expected: Expected): Promise<Findings> {
  const { from, stream, signal } = options;
  if ((from === undefined) === (stream === undefined)) {
    throw new AiotError('AIOT_USAGE', 'expected a file or folder, or --stream', {
      next: 'Use `aiot data import FOLDER` or `aiot data import --stream STREAM`.',
    });
  }
  const findings: Findings =
    stream === undefined
      ? ((await readBoxes(from as string, expected, options)) ??
        (await readFrom(from as string, expected, options)))
      : await fetchFrom(stream, expected, signal);
  if (findings.found.length > 0) return findings;
  if (findings.unused) {
    throw new AiotError('AIOT_DATA_EMPTY', `no boxes with labels of model.labels in ${from}`, {
      next: 'Specify annotations whose labels are in model.labels, or add their labels to aiot.yaml.',
    });
  }
  const what = expected.image ? 'JPEG or PNG' : 'CSV or WAV';
  throw new AiotError('AIOT_DATA_EMPTY', `no ${what} files in ${from}`, {
    next: `Specify a folder that contains ${what} files.`,
  });
}

/** Recordings from annotated pictures; null if there are no annotations. */
async function readBoxes(
  from: string,
  expected: Expected,
  { project, pictures, boxes, label, knownOnly = false, signal }: ImportOptions,
): Promise<Findings | null> {
  const isFolder = (await stat(from).catch(() => null))?.isDirectory();
  const files = !expected.image ? [] : isFolder ? await vocFilesIn(from) : isAnnotations(from) ? [from] : [];
  if (files.length === 0) {
    if (pictures === undefined && boxes === undefined && !knownOnly) return null;
    throw new AiotError(
      'AIOT_USAGE',
      `${from}: expected annotations for --pictures, --boxes or --known-only`,
      {
        next: 'In a project of pictures, specify a COCO file (.json), a Pascal VOC file (.xml), or a folder of Pascal VOC files.',
      },
    );
  }
  const finds = project.config.model.kind === 'fomo';
  const use = boxes ?? (finds ? 'keep' : 'crop');
  if (finds !== (use === 'keep')) {
    throw new AiotError(
      'AIOT_USAGE',
      finds
        ? `--boxes ${use}: expected keep, because a fomo model learns the places of objects`
        : '--boxes keep: expected crop or picture, because only model.kind: fomo learns the places of objects',
      { next: finds ? 'Omit --boxes.' : 'Omit --boxes, or set model.kind: fomo in aiot.yaml.' },
    );
  }
  if (use === 'keep' && label !== undefined) {
    throw new AiotError('AIOT_USAGE', '--label cannot be used here, because each box has its own label', {
      next: 'Omit --label.',
    });
  }
  const annotated = await readAnnotations(files, pictures);
  const { recordings, unused } = await recordingsOfBoxes(annotated, expected, { use, knownOnly, signal });
  return { found: recordings.map((recording) => ({ recording, sha256: null })), rejected: [], unused };
}

async function fetchFrom(
  { name: stream, client }: NonNullable<ImportOptions['stream']>,
  expected: Expected,
  signal?: AbortSignal,
): Promise<Findings> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-import-'));
  try {
    const out = join(folder, 'export.csv');
    await exportDataset(client, { stream, query: { format: 'csv' }, out, ...(signal ? { signal } : {}) });
    return exportedIn(await readBytes(out), `the stream ${stream}`, expected, stream);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * The recordings of an export.
 * @param stream name of the platform's stream, if the export comes directly from there
 * @throws the errors of `readExported`; if no recording can be used, the first recording's error, which lists all of them
 */
function exportedIn(bytes: Uint8Array, file: string, expected: Expected, stream: string | null): Findings {
  const { usable, unusable } = readExported(bytes, file, expected);
  const [first] = unusable;
  if (first && usable.length === 0) {
    const all = unusable.map(({ device, recording, reason }) => `${device}/${recording}: ${reason}`);
    throw new AiotError(
      first.code,
      `${file}: none of the recordings can be imported: ${listIds(all)}`,
      first.code === 'AIOT_FILE_MALFORMED' ? { next: remedyFor(first, file, stream) } : {},
    );
  }
  const origin = ({ device, recording }: Pick<Rejected, 'device' | 'recording'>) => ({
    stream,
    device,
    recording,
  });
  return {
    found: usable.map(({ converted, ...place }) => ({
      recording: converted,
      sha256: null,
      origin: origin(place),
    })),
    rejected: unusable.map((one) => ({
      ...origin(one),
      reason: one.reason,
      next: remedyFor(one, file, stream),
    })),
  };
}

function remedyFor(
  { code, device, recording, labelled }: Unusable,
  file: string,
  stream: string | null,
): string {
  if (code === 'AIOT_DATA_RATE')
    return 'Record at signal.rate, or set signal.rate to the rate of the recording.';
  if (code === 'AIOT_USAGE')
    return 'Export it separately with `aiot data export STREAM --recording NAME --out FILE`.';
  if (stream === null) return `Remove the recording from ${file}, or add the missing values.`;
  const place = shellWord(`${stream}/${device}/${recording}`);
  return `To remove it from the platform, run \`aiot data remove ${place}${labelled ? ' --labeled' : ''}\`.`;
}

async function readFrom(
  from: string,
  expected: Expected,
  { rateHz, signal }: ImportOptions,
): Promise<Findings> {
  const found = await stat(from).catch(() => null);
  if (!found) throw new AiotError('AIOT_FILE_NOT_FOUND', `the file or folder ${from} does not exist`);
  const listing = found.isDirectory() ? await readListing(from) : null;
  if (listing) {
    const recordings = await readListed(from, listing, expected);
    return { found: recordings.map((recording) => ({ recording, sha256: null })), rejected: [] };
  }
  const files = found.isDirectory() ? await recordingFilesIn(await looseFolder(from), expected) : [from];
  const out: Found[] = [];
  const rejected: Rejected[] = [];
  let time: TimeColumn | null = null;
  for (const file of files) {
    signal?.throwIfAborted();
    // A pipe or /dev/zero may never end, and would be read twice.
    const kind = await stat(file).catch(() => null);
    if (kind && !kind.isFile()) {
      throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${file}: expected a CSV or WAV file`);
    }
    const bytes = await readBytes(file);
    if (isParquet(bytes)) {
      throw new AiotError(
        'AIOT_FILE_NOT_READABLE',
        `cannot read ${file}: Parquet files can only be written`,
        {
          next: 'Export it in another format with `aiot data export STREAM --format ndjson --out FILE`.',
        },
      );
    }
    if (isExported(bytes)) {
      const exported = exportedIn(bytes, file, expected, null);
      out.push(...exported.found);
      rejected.push(...exported.rejected);
      continue;
    }
    if (!namePattern.test(idOfFile(file, expected))) {
      throw new AiotError(
        'AIOT_USAGE',
        `${file}: expected a file name of at most 64 letters, digits, dots, dashes and underscores that starts and ends with a letter or digit`,
        { next: 'Rename the file.' },
      );
    }
    const read = isSound(file) || isPicture(file) ? null : await readWithRoles(file, expected, rateHz);
    time ??= read?.time ?? null;
    const recording = read?.recording ?? (await readLoose(file, expected));
    out.push({ recording, sha256: sha256Hex(bytes) });
  }
  return { found: out, rejected, time };
}
