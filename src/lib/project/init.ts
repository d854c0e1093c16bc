import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import * as z from 'zod';
import { AiotError, systemCode } from '../core/errors.js';
import { writeFileAtomic } from '../core/files.js';
import { packageRoot } from '../core/folders.js';
import { dictionary, namePattern } from '../core/names.js';
import { parseProject } from '../core/project.js';
import type { ProjectConfig } from '../core/project-schema.js';
import { didYouMean } from '../core/text.js';
import { listRecordings, saveRecordings } from '../data/dataset/write.js';
import { motorDecimals, motorRecordings } from '../data/motor.js';
import { packedRecordings } from '../data/speech.js';
import { timeColumnSchema } from '../data/tables/columns.js';
import type { ChipName } from '../model/fit/chips.js';
import { bandOf } from '../signal/feature-sets.js';
import { signalSpecOf } from '../signal/spec.js';
import { drawFaces } from '../vision/faces.js';
import { composeProject, rowsFile, type Survey, shortenedWindow } from './own-project.js';
import { findTemplates } from './templates.js';

export const initResultSchema = z.object({
  name: z.string(),
  /** Name of the template; `own` = the project was created from the user's own data. */
  template: z.string(),
  /** Absolute path of the folder. */
  dir: z.string(),
  /** Paths of the files in the folder, except recordings. */
  files: z.array(z.string()),
  recordings: z.int(),
  samples: z.int(),
  /** Number of recordings per label. */
  labels: z.record(z.string(), z.int()),
  /** Whether the project can be started with `aiot up --project`, because aiot.yaml has an `up` section. */
  runs: z.boolean(),
  /** Sampling rate of the user's own recordings, Hz; null for a table, and for a template. */
  rateHz: z.number().nullable(),
  /** Source of that rate: a flag, the time column, or an assumption. */
  rateFrom: z.enum(['told', 'time', 'assumed']).nullable(),
  /** Time column of the user's own data, which is not an input. */
  time: timeColumnSchema.nullable(),
  /** Signal settings chosen for the user's own recordings; null for a table, and for a template. */
  signal: z
    .object({
      features: z.string(),
      /** Frequencies that the features resolve, Hz. */
      bandHz: z.tuple([z.number(), z.number()]).nullable(),
      /** Samples. */
      window: z.int(),
      /** Length that the rate and the recordings suggest, samples, and the reason why the window is shorter; null if the window has that
       * length. */
      shortened: z.object({ from: z.int(), reason: z.string() }).nullable(),
      topic: z.string(),
    })
    .nullable(),
});

export type InitResult = z.output<typeof initResultSchema>;

/** File with the JSON Schema of aiot.yaml. Each project contains it, so that editors need no network. */
const schemaFile = 'aiot.schema.json';

/**
 * Creates a project from a template, completely or not at all.
 * @param options.name of the project; absent = DIR's own name
 * @throws AIOT_FOLDER_NOT_EMPTY, AIOT_USAGE (an invalid name, an unknown template), AIOT_FILE_NOT_WRITABLE
 */
export async function initProject(options: {
  dir: string;
  template: string;
  name?: string | undefined;
}): Promise<InitResult> {
  const templates = await findTemplates();
  const template = templates.find(({ name }) => name === options.template);
  if (!template) {
    const names = templates.map(({ name }) => name);
    throw new AiotError(
      'AIOT_USAGE',
      `expected a template (${names.join(', ')}), got "${options.template}"${didYouMean(options.template, names)}`,
      { next: 'Choose one of these, such as `aiot init DIR --template har-imu`.' },
    );
  }
  return await assemble(
    options,
    template.name,
    async (staging, name) => {
      await cp(template.dir, staging, { recursive: true });
      await unpackRecordings(join(staging, 'data'));
      const text = await readFile(join(staging, 'aiot.yaml'), 'utf8');
      return text
        .replace(/^name: .*$/m, `name: ${name}`)
        .replace(`$schema=../${schemaFile}`, `$schema=${schemaFile}`);
    },
    generators[template.name],
  );
}

/** Replaces the archive that scripts/recordings.js makes of a template's recordings with its files. A source checkout has no archive. */
export async function unpackRecordings(data: string): Promise<void> {
  const packed = join(data, 'recordings.json.gz');
  if (!existsSync(packed)) return;
  const files = z
    .record(z.string(), z.string())
    .parse(JSON.parse(gunzipSync(await readFile(packed)).toString('utf8')));
  await mkdir(join(data, 'recordings'), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(data, 'recordings', name), text);
  await rm(packed);
}

/**
 * Creates a project from the user's own data, which is copied to `data/recordings` or `data/rows.csv` in the project.
 * @param options.survey result of `surveyData`
 * @throws AIOT_FOLDER_NOT_EMPTY, AIOT_PROJECT_INVALID (a column or label that projects do not allow), AIOT_USAGE (an invalid name),
 * AIOT_FILE_NOT_WRITABLE
 */
export async function initOwnProject(options: {
  dir: string;
  survey: Survey;
  name?: string | undefined;
  chip?: ChipName | undefined;
}): Promise<InitResult> {
  const { survey, chip } = options;
  let signal: InitResult['signal'] = null;
  const made = await assemble(
    options,
    'own',
    async (staging, name) => {
      await mkdir(join(staging, 'data'), { recursive: true });
      await writeFileAtomic(join(staging, '.gitignore'), 'build/\n');
      return composeProject(name, survey, chip);
    },
    async (staging, config) => {
      if (survey.kind === 'rows') return cp(survey.path, join(staging, rowsFile));
      signal = {
        ...chosenSignal(config),
        shortened: chip === undefined ? null : shortenedWindow(survey, chip),
      };
      await saveRecordings({ folder: join(staging, 'data'), config, recordings: ownRecordings(survey) });
    },
  );
  const { rateHz, rateFrom, time } = survey;
  return { ...made, rateHz, rateFrom, time, signal };
}

function chosenSignal(config: ProjectConfig): Omit<NonNullable<InitResult['signal']>, 'shortened'> {
  const spec = signalSpecOf(config);
  return {
    features: config.signal.features as string,
    bandHz: bandOf(spec),
    window: spec.windowSamples,
    topic: config.stream.topic,
  };
}

/** The user's recordings with valid ids. Slashes are replaced: `walking/1` becomes walking-1. */
function ownRecordings({ loose, fields }: Survey) {
  return loose!.dataset.recordings.map((recording) => ({ ...recording, fields, id: nameFrom(recording.id) }));
}

/**
 * Creates a project in a folder beside DIR, and finally moves it to DIR.
 * @param begin fills the folder and returns the text of aiot.yaml
 * @param finish creates the remaining files, after the text has been validated
 */
async function assemble(
  options: { dir: string; name?: string | undefined },
  template: string,
  begin: (staging: string, name: string) => Promise<string>,
  finish?: (staging: string, config: ProjectConfig) => Promise<void>,
): Promise<InitResult> {
  const dir = resolve(options.dir);
  const exists = await refuseOccupied(dir);
  const name = projectName(options.name ?? basename(dir), options.name === undefined);
  const staging = join(dirname(dir), `.${basename(dir)}.${randomBytes(4).toString('hex')}.tmp`);
  try {
    await mkdir(dirname(dir), { recursive: true });
    await mkdir(staging);
    const file = join(staging, 'aiot.yaml');
    const text = await begin(staging, name);
    await cp(join(packageRoot(), 'templates', schemaFile), join(staging, schemaFile));
    await writeFileAtomic(file, text);
    const config = parseProject(text, join(dir, 'aiot.yaml'));
    await finish?.(staging, config);
    const runs = config.up !== undefined;
    // A project that can be started has no recordings yet, and a project of rows never has any.
    const entries = runs || config.model.table ? [] : await listRecordings({ dir: staging, file, config });
    const files = (await filesIn(staging)).filter((path) => !/^data[/\\]recordings[/\\]/.test(path));
    if (exists) await moveInto(staging, dir);
    else await rename(staging, dir);
    return {
      name,
      template,
      dir,
      files,
      ...counted(entries),
      runs,
      rateHz: null,
      rateFrom: null,
      time: null,
      signal: null,
    };
  } catch (error) {
    if (error instanceof AiotError) throw error;
    throw new AiotError(
      'AIOT_FILE_NOT_WRITABLE',
      `cannot create ${dir} (${systemCode(error) ?? String(error)})`,
      {
        cause: error,
        endpoint: dir,
      },
    );
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

function counted(entries: { label: string | null; samples: number }[]) {
  const labels = dictionary<number>();
  for (const { label } of entries) if (label !== null) labels[label] = (labels[label] ?? 0) + 1;
  return {
    recordings: entries.length,
    samples: entries.reduce((sum, { samples }) => sum + samples, 0),
    labels,
  };
}

/**
 * Returns whether the folder exists. An existing folder must be empty.
 * @throws AIOT_FOLDER_NOT_EMPTY
 */
export async function refuseOccupied(dir: string): Promise<boolean> {
  const names = await readdir(dir).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return null;
    if (systemCode(error) === 'ENOTDIR') return ['a file with that name'];
    throw error;
  });
  if (names === null) return false;
  if (names.length === 0) return true;
  throw new AiotError(
    'AIOT_FOLDER_NOT_EMPTY',
    `${dir} is not empty: it contains ${names.slice(0, 3).join(', ')}`,
    {
      next: nextTo(dir, names),
    },
  );
}

function nextTo(dir: string, names: readonly string[]): string {
  const other =
    dir === '.'
      ? 'To create the project in a new folder, run `aiot init NAME`.'
      : 'Specify a new or empty folder.';
  if (!names.includes('aiot.yaml')) return other;
  return `To change this project, edit ${join(dir, 'aiot.yaml')}. For another one, name a new folder.`;
}

/** A valid project name. A folder's name is adapted (`lenient`). A name that the user gave is used unchanged or rejected. */
function projectName(name: string, lenient: boolean): string {
  const mended = lenient ? nameFrom(name) : name;
  if (namePattern.test(mended)) return mended;
  throw new AiotError(
    'AIOT_USAGE',
    `expected a name of letters, digits, dot, dash or underscore, at most 64; got "${name}"`,
    { next: 'Specify a name with --name.' },
  );
}

/** The characters of a text that are valid in a name. */
function nameFrom(text: string): string {
  return text
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '')
    .slice(0, 64);
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1))
    .sort();
}

/**
 * Moves files into an existing folder, which may be the shell's current folder. aiot.yaml is moved last, because its presence makes the
 * folder a project.
 */
async function moveInto(staging: string, dir: string): Promise<void> {
  const names = await readdir(staging);
  names.sort((a, b) => Number(a === 'aiot.yaml') - Number(b === 'aiot.yaml'));
  for (const name of names) await rename(join(staging, name), join(dir, name));
}

/** Functions that generate the data of some templates in the new folder. The other templates contain their data. */
const generators: Record<string, (dir: string, config: ProjectConfig) => Promise<void>> = {
  'face-camera': (dir) => drawFaces(join(dir, 'pictures')),
  'keyword-spotting': async (dir, config) => {
    const recordings = await packedRecordings(dir, config);
    await saveRecordings({ folder: join(dir, 'data'), config, recordings });
    // The recordings replace the packed words.
    for (const name of ['words.wav', 'words.json']) await rm(join(dir, name));
  },
  'motor-watch': async (dir, config) => {
    const recordings = motorRecordings(config.signal.rate);
    await saveRecordings({ folder: join(dir, 'data'), config, recordings, decimals: motorDecimals });
  },
};
