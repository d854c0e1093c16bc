import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { requireWritable } from '../../core/files.js';
import { namePattern } from '../../core/names.js';
import { collectGarbage, keepHeapSmall } from '../../core/process.js';
import type { Project } from '../../core/project.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import { parseDuration, systemClock } from '../../core/time.js';
import type { Recording } from '../../data/types.js';
import type { SampleBatch, SampleField } from '../../sensor/types.js';
import { deliveriesOf } from '../../stream/message.js';
import { openSource } from '../../stream/open.js';
import type { StageResult } from '../har/layout.js';
import { type CrashWatch, sendCrashes, watchCrashes } from '../operate/crashes.js';
import { operate } from '../operate/operate.js';
import { crashesFolder, loopFolder } from '../operate/state.js';
import type { Teacher } from '../teach.js';
import { createVote } from '../vote.js';
import { limitOf, untilEnd, within } from './ending.js';
import { type LoopTap, runEngine } from './engine.js';
import { type Opened, openParts, sensorOf } from './open.js';
import { type LoopOptions, projectOf } from './options.js';
import type { LoopResult } from './result.js';
import { createTally, type Running, rssMb, type Tally, watchLoop } from './tally.js';

/** Maximum wait for a part that is closed because another part did not open, ms. */
const closingMs = 5000;

/** Runs a loop, or one stage of the motion system. @throws the errors of `runLoop` and `runStage` */
export async function startLoop(options: LoopOptions): Promise<LoopResult | StageResult> {
  if (options.stage === undefined) return await runLoop(options);
  const { runLoopStage } = await import('./stage.js');
  // The stages need no project. If there is one, its settings override the stages' defaults.
  return await runLoopStage(options, await projectOf(options.project, options.model ?? options.stage));
}

/**
 * Sensor → window → model → smoothing → outputs, until the sensor ends, the time limit is reached, or `signal` is aborted. Pending
 * predictions are then delivered or spooled, and a summary is returned.
 * @throws AIOT_PROJECT_INVALID, AIOT_LOOP_RUNNING, AIOT_USAGE, and the errors of opening a model, a sensor or an output; the error of a
 * sensor that is permanently lost
 */
export async function runLoop(options: LoopOptions): Promise<LoopResult> {
  const { clock = systemClock, onEvent } = options;
  const project = await projectOf(options.project, options.model);
  const limitMs = limitOf(options, clock.now());
  const { vote, holdMs } = votingOf(options, project);
  // An invalid smoothing setting is rejected before anything is opened.
  if (vote !== undefined) createVote(vote, holdMs);
  const name = options.name ?? project.config.name;
  // A simulated run does not reserve the loop's name, and leaves nothing behind.
  const transient = options.transient ?? options.simulate ?? false;
  const spool = transient ? await mkdtemp(join(tmpdir(), 'aiot-loop-')) : join(loopFolder(name), 'spool');
  const running: Running = { sensor: sensorOf(options, project)?.split('?')[0] ?? 'simulated', spool };
  const tally = createTally(clock);
  const tell = (text: string) => {
    tally.event(text);
    onEvent?.(text);
  };
  const monitor = watchLoop(name, running, tally, clock);
  const operation = await operate(monitor, { name, listen: options.listen, transient, onEvent: tell });
  const crashes = transient ? null : await followCrashes(name, options, tally, tell);
  try {
    const around = { running, tally, tell, monitor, limitMs };
    if (project.config.loop.through === undefined) return await runParts(options, project, around);
    const { runPictures } = await import('./pictures.js');
    return await runPictures(options, project, around);
  } catch (error) {
    if (!(error instanceof AiotError) && !options.signal?.aborted) crashes?.note(error);
    throw error;
  } finally {
    running.stopped = true;
    const { keeper, sensing, outputs } = running;
    await within(closingMs, Promise.allSettled([sensing?.close(), keeper?.close(), outputs?.close()]));
    await crashes?.close();
    await operation.close();
    if (transient) await rm(spool, { recursive: true, force: true });
  }
}

/** Records crashes of the loop, and sends those of earlier runs. Null if they cannot be stored; the loop runs all the same. */
async function followCrashes(
  name: string,
  { context }: Pick<LoopOptions, 'context'>,
  { events }: Tally,
  tell: (text: string) => void,
): Promise<(Pick<CrashWatch, 'note'> & { close(): Promise<void> }) | null> {
  const folder = crashesFolder(name);
  let watch: CrashWatch;
  try {
    watch = await watchCrashes(folder, () => events.map(({ text }) => text));
  } catch (error) {
    tell(`crashes are not recorded: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
  const ending = new AbortController();
  const sending = sendCrashes({ folder, loop: name, context, tell, signal: ending.signal }).catch((error) =>
    tell(`could not send the report of a crash: ${error instanceof Error ? error.message : String(error)}`),
  );
  return {
    note: watch.note,
    async close() {
      ending.abort();
      await within(closingMs, sending);
      watch.close();
    },
  };
}

/** Services around a loop while its parts run. */
export interface Around {
  running: Running;
  tally: Tally;
  tell: (text: string) => void;
  monitor: ReturnType<typeof watchLoop>;
  limitMs: number | null;
}

async function runParts(
  options: LoopOptions,
  project: Project,
  { running, tally, tell, monitor, limitMs }: Around,
): Promise<LoopResult> {
  const { clock = systemClock, signal } = options;
  const { vote, holdMs } = votingOf(options, project);
  const opened = await openParts(options, project, { running, clock, tell });
  const { keeper, sensing, outputs } = opened;
  const lookers = await openLookers(options, project, opened, tell);
  keepHeapSmall();
  collectGarbage();
  const { fields, rateHz } = sensing;
  const { classes } = keeper.current().info;
  const { teacher, taps } = lookers;
  options.onOpen?.({ monitor, fields, rateHz, classes, teacher, latencies: tally.latency.spread });
  const now = () => clock.now();
  try {
    const engine = runEngine({ ...opened, vote, holdMs, tally, taps, now });
    const ended = await untilEnd(engine, () => sensing.close(), { limitMs, clock, signal });
    const memory = rssMb();
    await lookers.close();
    await outputs.close();
    return { ...resultOf(opened, tally, lookers), rssMb: memory, ended };
  } finally {
    await lookers.close();
  }
}

/** @throws AIOT_USAGE */
function votingOf(options: LoopOptions, { config: { loop } }: Project) {
  const holdMs = options.holdMs ?? (loop.hold === undefined ? 0 : parseDuration(loop.hold));
  return { vote: options.vote ?? loop.vote, holdMs };
}

function resultOf(
  { sensing, keeper, outputs }: Opened,
  tally: Tally,
  { recorder }: Lookers,
): Omit<LoopResult, 'rssMb' | 'ended'> {
  const { samples, lost, gaps, rateHz, jitterP99Ms } = sensing.rates();
  const { windows, predictions, changes, classes, latency } = tally;
  const { name, version, digest, source, delegate, swaps } = keeper.state();
  return {
    ...{ samples, lost, rateHz: rounded(rateHz), jitterP99Ms: rounded(jitterP99Ms), windows, predictions },
    latencyMs: { p50: latency.percentile(0.5), p99: latency.percentile(0.99) },
    ...{ gaps, changes },
    classes: Object.fromEntries(classes),
    model: { name, version, digest, source, delegate, swaps },
    outputs: outputs
      .states()
      .map(({ endpoint, sent, waiting, dropped }) => ({ endpoint, sent, waiting, dropped })),
    recorded: recorder?.kept() ?? null,
  };
}

const rounded = (value: number | null) => value && Number(value.toPrecision(6));

/** Observers of a running loop. */
interface Lookers {
  taps: readonly LoopTap[];
  teacher: Teacher | null;
  recorder: Recorder | null;
  /** Resolves when their work is done. */
  close(): Promise<void>;
}

/**
 * @throws AIOT_MODEL_UNFIT (a model without classes cannot be taught), AIOT_FILE_NOT_WRITABLE, and the errors of opening the label source
 */
async function openLookers(
  options: LoopOptions,
  project: Project,
  { sensing, keeper }: Opened,
  tell: (text: string) => void,
): Promise<Lookers> {
  const { fields, rateHz } = sensing;
  if (options.record !== undefined && !options.patient)
    await requireWritable(join(options.record, 'recording'));
  const recorder =
    options.record === undefined
      ? null
      : createRecorder({
          folder: options.record,
          config: project.config,
          ...{ fields, rateHz },
          onEvent: tell,
        });
  const teaches = options.teach === true || options.teachFrom !== undefined;
  const teacher = teaches ? await openTeacher(options, project, { sensing, keeper }, tell) : null;
  const labels = teacher && options.teachFrom !== undefined ? await hear(options, teacher, tell) : null;
  const taps: LoopTap[] = [...(options.taps ?? [])];
  if (recorder) taps.push(recorder);
  if (teacher) taps.push({ samples: (batch) => teacher.push(batch) });
  return {
    ...{ taps, teacher, recorder },
    async close() {
      await labels?.();
      await Promise.all([teacher?.close(), recorder?.close()]);
    },
  };
}

async function openTeacher(
  { signal, clock, yes }: LoopOptions,
  project: Project,
  { sensing, keeper }: Pick<Opened, 'sensing' | 'keeper'>,
  tell: (text: string) => void,
): Promise<Teacher> {
  const { createTeacher } = await import('../teach.js');
  return createTeacher({
    // Marked recordings are stored in the project's own data, next to its training recordings. They are used in later training
    // runs, and are not deleted after a week.
    ...{ project, keeper, clock, signal, yes },
    fields: sensing.fields.map(({ name }) => name),
    rateHz: sensing.rateHz,
    onEvent: ({ text }) => tell(text),
  });
}

/** Applies labels from messages. @returns a function that stops reading labels */
async function hear(
  { teachFrom = '', stream = {} }: LoopOptions,
  teacher: Teacher,
  tell: (text: string) => void,
): Promise<() => Promise<void>> {
  const source = await openSource(teachFrom, stream);
  const listening = (async () => {
    for await (const delivery of deliveriesOf(source)) {
      teacher.mark(Buffer.from(delivery.message.payload).toString('utf8'));
      delivery.ack();
    }
  })().catch((error: Error) => tell(`no more labels from ${source.endpoint}: ${error.message}`));
  return async () => {
    await source.close();
    await listening;
  };
}

interface RecorderOptions {
  folder: string;
  config: ProjectConfig;
  fields: readonly SampleField[];
  rateHz: number;
  /** Maximum duration of a recording, seconds. */
  longestSeconds?: number;
  /** Maximum number of samples in the recordings that loops have stored in the folder. The oldest recordings are deleted. */
  mostSamples?: number;
  onEvent: (text: string) => void;
}

/** Stores the sensor's samples as recordings. */
interface Recorder extends LoopTap {
  samples(batch: SampleBatch): void;
  /** The samples stored since the recorder was opened. */
  kept(): { folder: string; recordings: number; samples: number };
  /** Resolves when the last recording is on disk. */
  close(): Promise<void>;
}

/** Maximum samples per recording. Writing one delays new samples, at this size by a few hundredths of a second. */
const mostAtOnce = 50_000;

/** Default maximum number of stored samples: a week at 100 Hz, a few gigabytes. */
const usualMost = 60_480_000;

/** Maximum number of recordings waiting for a slow disk. Further ones are dropped. */
const mostWaiting = 4;

/** Prefix of the names of these recordings. */
const prefix = 'loop-';

/** Starts a new recording every five minutes, and after each gap, so that no recording contains a break. */
function createRecorder(options: RecorderOptions): Recorder {
  const { fields, rateHz, longestSeconds = 300, mostSamples = usualMost } = options;
  const room = Math.max(1, Math.min(mostAtOnce, Math.ceil(longestSeconds * rateHz)));
  const config = configFor(options);
  let columns = fields.map(() => new Float64Array(room));
  let filled = 0;
  let startedAt = 0;
  const kept = { folder: options.folder, recordings: 0, samples: 0 };
  let work = Promise.resolve();
  let waiting = 0;
  let failing = false;

  const save = async (recording: Recording) => {
    const { rollRecording } = await import('../../data/dataset/write.js');
    try {
      await rollRecording({ folder: options.folder, config, recording, prefix, mostSamples, decimals: 6 });
      kept.recordings++;
      kept.samples += recording.columns[0]?.length ?? 0;
      failing = false;
    } catch (error) {
      if (!failing) options.onEvent(`a recording is lost: ${(error as Error).message}`);
      failing = true;
    }
    waiting--;
  };
  const finish = () => {
    if (filled === 0) return;
    const full = columns.map((column) => column.slice(0, filled));
    filled = 0;
    if (waiting >= mostWaiting) return options.onEvent('a recording is lost: the disk is too slow');
    waiting++;
    const recording = recordingOf(full, startedAt, fields, rateHz);
    work = work.then(() => save(recording));
  };
  return {
    samples({ values, times, count, lost }) {
      if (lost > 0) finish();
      for (let i = 0; i < count; i++) {
        if (filled === 0) startedAt = times[i]!;
        columns.forEach((column, f) => {
          column[filled] = values[i * fields.length + f]!;
        });
        if (++filled === room) finish();
      }
    },
    kept: () => ({ ...kept }),
    async close() {
      finish();
      columns = [];
      await work;
    },
  };
}

function recordingOf(
  columns: Float64Array[],
  startedAt: number,
  fields: readonly SampleField[],
  rateHz: number,
): Recording {
  const stamp = new Date(startedAt).toISOString().replaceAll(/[-:.]/g, '').slice(0, 18);
  const device = hostname();
  return {
    id: `${prefix}${stamp}Z`,
    label: null,
    device: namePattern.test(device) ? device : null,
    rateHz,
    startedAt: Math.round(startedAt),
    fields: fields.map(({ name }) => name),
    columns,
  };
}

/** The project's configuration, with the fields that it does not declare taken from the samples. */
function configFor({ config, fields, rateHz }: RecorderOptions): ProjectConfig {
  const declared = fields.map(({ name, unit }) => [
    name,
    config.stream.fields[name] ?? { type: 'float' as const, unit },
  ]);
  return {
    ...config,
    stream: { ...config.stream, fields: Object.fromEntries(declared) },
    signal: { ...config.signal, rate: rateHz },
  };
}
