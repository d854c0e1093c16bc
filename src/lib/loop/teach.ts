import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as z from 'zod';
import { AiotError, hasCode } from '../core/errors.js';
import { writeFileAtomic } from '../core/files.js';
import { issueText } from '../core/issues.js';
import { withLock } from '../core/lock.js';
import { namePattern } from '../core/names.js';
import type { Project } from '../core/project.js';
import { parsedJson } from '../core/text.js';
import { type Clock, systemClock } from '../core/time.js';
import { openDataset } from '../data/dataset/open.js';
import { saveRecordings } from '../data/dataset/write.js';
import type { Recording } from '../data/types.js';
import type { BundleInfo } from '../model/bundle/types.js';
import { buildFiles } from '../model/files.js';
import {
  classOfLabel,
  type LabelledWindow,
  type Lesson,
  labelledWindows,
  retrainLastLayer,
  type Taught,
} from '../model/retrain.js';
import type { SampleBatch } from '../sensor/types.js';
import type { ModelKeeper } from './types.js';

/** Maximum wait for another process that has locked the data folder, ms; the same as in `data record`. */
const lockMs = 30_000;

/** Number of decimals of the values in stored recordings. */
const decimals = 6;

/**
 * Opens the teacher of a running loop's model. Marked samples are first stored as recordings, even if retraining fails. The last layer is
 * then retrained, compared with the current one on held-out data, and used if it is not worse.
 * @throws AIOT_MODEL_UNFIT if the model in use has no class names
 */
export function createTeacher(options: TeacherOptions): Teacher {
  return new LoopTeacher(options);
}

class LoopTeacher implements Teacher {
  private readonly ring;
  private readonly lessons: Lessons;
  private readonly folder: string;
  private work: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(private readonly options: TeacherOptions) {
    const { project, keeper, fields, rateHz, keepSeconds = 120 } = options;
    const { info } = keeper.current();
    if (info.classes.length === 0) {
      throw new AiotError('AIOT_MODEL_UNFIT', `${info.name} has no classes to teach`);
    }
    this.folder = options.folder ?? join(project.dir, 'data');
    this.lessons = new Lessons(project, this.folder);
    const seconds = Math.max(keepSeconds, this.seconds);
    this.ring = createRing(fields.length, Math.ceil(seconds * rateHz));
  }

  get keys() {
    return keysOf(this.options.keeper.current().info);
  }

  push(batch: Parameters<Teacher['push']>[0]): void {
    this.ring.push(batch);
  }

  key(character: string): boolean {
    if (character === retrainKey) {
      void this.retrain();
      return true;
    }
    const found = this.keys.find(({ key }) => key === character);
    if (found) this.mark(found.label);
    return found !== undefined;
  }

  mark(payload: string): void {
    if (this.closed) return;
    try {
      const { label: text, seconds = this.seconds } = readMark(payload);
      const { label, isKnown } = recordedLabel(this.options.keeper.current().info, text);
      // The samples are copied now, because the label does not apply to those that arrive while earlier requests are being saved.
      const recording = this.take(label, seconds);
      void this.inTurn(async () => {
        await this.save(recording);
        if (isKnown) await this.learn();
        else {
          this.tell(
            'kept',
            `the model has no class for ${label}: the recording is kept, but a full training is needed (model.labels in aiot.yaml, then aiot model train)`,
          );
        }
      });
    } catch (error) {
      this.refused(error);
    }
  }

  retrain(): Promise<TaughtResult | null> {
    return this.inTurn(() => this.learn());
  }

  async settled(): Promise<void> {
    // Repeats, because further requests may be made while it waits.
    let seen: Promise<unknown> | null = null;
    while (seen !== this.work) {
      seen = this.work;
      await seen;
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.settled();
  }

  /** Number of seconds that a mark covers. */
  private get seconds(): number {
    const { windowSamples, resampleHz } = this.options.keeper.current().info.signal;
    return this.options.seconds ?? Math.max(5, (2 * windowSamples) / resampleHz);
  }

  private get clock() {
    return this.options.clock ?? systemClock;
  }

  /** Runs tasks one after another; a failed task does not prevent the next. */
  private inTurn<T>(task: () => Promise<T>): Promise<T | null> {
    const done = this.work.then(async () => {
      try {
        this.options.signal?.throwIfAborted();
        return await task();
      } catch (error) {
        if (!this.options.signal?.aborted) this.refused(error);
        return null;
      }
    });
    this.work = done;
    return done;
  }

  private take(label: string, seconds: number): Recording {
    const { fields, rateHz, device = hostname(), keeper } = this.options;
    const { columns, startedAt } = this.ring.last(Math.round(seconds * rateHz));
    const { windowSamples, resampleHz } = keeper.current().info.signal;
    const [window, got] = [windowSamples / resampleHz, (columns[0]?.length ?? 0) / rateHz];
    if (got < window) {
      throw new AiotError(
        'AIOT_TRAINING_DATA_UNFIT',
        `only ${got.toFixed(1)} s without a gap have been received, but the model needs ${window} s`,
        { next: 'Continue a little longer, then label it again.' },
      );
    }
    const at = this.clock.now();
    const stamp = new Date(at).toISOString().replaceAll(/[-:]/g, '').replace('.', '').slice(0, 18);
    const named = label.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 30);
    return {
      id: `${taughtPrefix}${named}-${stamp}`,
      label,
      device: namePattern.test(device) ? device : null,
      rateHz,
      startedAt,
      fields: [...fields],
      columns,
    };
  }

  private async save(recording: Recording): Promise<void> {
    const { folder } = this;
    const { config } = this.options.project;
    // Uses the lock of `data record`, which may run at the same time.
    await withLock(join(folder, '.lock'), lockMs, () =>
      saveRecordings({ folder, config, recordings: [recording], decimals }),
    );
    await this.lessons.add(recording);
    const seconds = (recording.columns[0]?.length ?? 0) / recording.rateHz;
    this.tell('marked', `${seconds.toFixed(1)} s of ${recording.label} are saved as ${recording.id}`);
  }

  private async learn(): Promise<TaughtResult | null> {
    const { keeper, project, yes = false } = this.options;
    const started = performance.now();
    const model = keeper.current();
    if (!model.bundle)
      throw new AiotError('AIOT_MODEL_UNFIT', `${model.name} does not support teaching here`);
    const lesson = await this.lessons.of(model.info, nextTurn);
    const now = Math.round(this.clock.now());
    const taught = await retrainLastLayer({
      from: model.digest,
      bundle: model.bundle,
      lesson,
      now,
      breathe: nextTurn,
    });
    if (keeper.current().digest !== model.digest) {
      throw new AiotError('AIOT_MODEL_STALE', 'another model became active in the meantime', {
        next: `To teach that model, press ${retrainKey}.`,
      });
    }
    const used = !taught.worse || yes;
    const file = join(buildFiles(project).folder, 'model.taught.aiot');
    if (used) {
      await writeFileAtomic(file, taught.bytes);
      await keeper.use(taught.bytes);
    }
    const result: TaughtResult = {
      used,
      what: taught.what,
      before: taught.before.macroF1,
      after: taught.after.macroF1,
      windows: taught.after.windows,
      digest: taught.digest,
      file,
      seconds: (performance.now() - started) / 1000,
    };
    this.tell(used ? 'taught' : 'kept', textOf(result, taught, lesson.heldOut.length > 0));
    return result;
  }

  private refused(error: unknown): void {
    if (!(error instanceof AiotError)) {
      this.tell('refused', error instanceof Error ? error.message : String(error));
      return;
    }
    this.tell('refused', `${error.code}: ${error.message}. ${error.next}`);
  }

  private tell(kind: TeachEvent['kind'], text: string): void {
    this.options.onEvent?.({ kind, text });
  }
}

export interface TeacherOptions {
  /** The project to which the recordings belong. */
  project: Project;
  keeper: ModelKeeper;
  /** Fields of the batches that are pushed, in order. */
  fields: readonly string[];
  rateHz: number;
  /** Data folder for recordings; default: the project's own. */
  folder?: string | undefined;
  /** Number of seconds that a mark covers; default: twice the model's window, at least 5. */
  seconds?: number | undefined;
  /** Maximum age of the samples that a mark can cover, seconds. */
  keepSeconds?: number | undefined;
  /** Device that is entered in the recordings. */
  device?: string | undefined;
  /** Use the new model even if it performs worse. */
  yes?: boolean | undefined;
  clock?: Clock | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: ((event: TeachEvent) => void) | undefined;
}

export interface TeachEvent {
  /**
   * `marked`: a recording was stored; `taught`: a new model is in use; `kept`: the old model stays in use; `refused`: the request was
   * rejected.
   */
  kind: 'marked' | 'taught' | 'kept' | 'refused';
  text: string;
}

/** A keyboard key, and the label that it marks. */
export interface TeachKey {
  key: string;
  label: string;
}

/** Result of a retraining. */
export interface TaughtResult {
  used: boolean;
  what: 'last layer' | 'biases';
  /** Macro-F1 on the held-out data, of the previous model and the new one. */
  before: number;
  after: number;
  /** Number of held-out windows. */
  windows: number;
  digest: string;
  /** The new bundle. */
  file: string;
  seconds: number;
}

/** Marks the latest samples with a label, and retrains the model with them. Calls are cheap; the work is done between samples. */
export interface Teacher {
  readonly keys: readonly TeachKey[];
  /** Adds the latest samples, whose values are copied. */
  push(batch: SampleBatch): void;
  /** @returns whether the key has a function in teaching */
  key(character: string): boolean;
  /** Marks samples by a message: a label, or JSON `{label, seconds?}`. Never throws: the result is reported as events. */
  mark(payload: string): void;
  /** Retrains the last layer from all marked samples; null = there was nothing to learn, which is reported as an event. */
  retrain(): Promise<TaughtResult | null>;
  /** Resolves when all requests made so far are done. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** The last samples that follow each other without a gap. */
interface Ring {
  push(batch: SampleBatch): void;
  /** The last `count` samples, or as many as there are since the last gap: one column per field. */
  last(count: number): { columns: Float64Array[]; startedAt: number | null };
}

/** @param capacity maximum number of samples */
export function createRing(fields: number, capacity: number): Ring {
  const values = new Float64Array(fields * capacity);
  const times = new Float64Array(capacity);
  let next = 0;
  let held = 0;
  return {
    push(batch) {
      if (batch.lost > 0) held = 0;
      for (let i = 0; i < batch.count; i++) {
        for (let f = 0; f < fields; f++) values[next * fields + f] = batch.values[i * fields + f]!;
        times[next] = batch.times[i]!;
        next = next + 1 === capacity ? 0 : next + 1;
      }
      held = Math.min(capacity, held + batch.count);
    },
    last(count) {
      const taken = Math.min(count, held);
      const start = (next - taken + capacity) % capacity;
      const columns = Array.from({ length: fields }, (_, f) =>
        Float64Array.from({ length: taken }, (_, i) => values[((start + i) % capacity) * fields + f]!),
      );
      return { columns, startedAt: taken === 0 ? null : Math.round(times[start]!) };
    },
  };
}

const keyboard = '123456789abcdefghijklmnopqrsuvwxyz';

/** The key that retrains the model with all marked samples. */
const retrainKey = 't';

/** One key for each label of the model's classes. */
function keysOf({ classes, labels }: BundleInfo): TeachKey[] {
  const all = classes.flatMap((name) => labels[name] ?? [name]);
  return all.slice(0, keyboard.length).map((label, i) => ({ key: keyboard[i]!, label }));
}

/**
 * Determines the label of a recording. The text may also be a class, if that class has a single label. `isKnown`: the model has a class for
 * the label.
 * @throws AIOT_USAGE
 */
function recordedLabel(info: BundleInfo, text: string): { label: string; isKnown: boolean } {
  const isKnown = classOfLabel(info, text) !== null;
  const labels = Object.values(info.labels).flat();
  if (labels.includes(text) || !info.classes.includes(text)) return { label: text, isKnown };
  const own = info.labels[text] ?? [];
  if (own.length <= 1) return { label: own[0] ?? text, isKnown };
  throw new AiotError('AIOT_USAGE', `${text} is recorded as ${own.join(' or ')}: specify which one`);
}

const markSchema = z.strictObject({
  label: z.string().trim().min(1).max(64),
  seconds: z.number().positive().max(3600).optional(),
});

type Mark = z.output<typeof markSchema>;

/** Parses a message for `mark`: a plain label, or JSON. @throws AIOT_USAGE */
export function readMark(payload: string): Mark {
  const text = payload.trim();
  const read = markSchema.safeParse(text.startsWith('{') ? parsedJson(text) : { label: text });
  if (read.success) return read.data;
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  throw new AiotError(
    'AIOT_USAGE',
    `expected a label, or JSON such as {"label": "walking", "seconds": 10}, got "${shown}" (${issueText(read.error, 'the message')})`,
  );
}

/** The result of a retraining as a sentence with its metrics. */
function textOf(
  { used, before, after, windows, file, what }: TaughtResult,
  { taught }: Pick<Taught, 'taught'>,
  heldOut: boolean,
) {
  const share = (value: number) => `${Math.round(100 * value)} %`;
  const on = heldOut ? `${windows} windows held out` : `the ${windows} labeled windows (none are held out)`;
  const only = what === 'biases' ? ' (biases only: the earlier training data is not on this machine)' : '';
  const figures = `macro-F1 ${before.toFixed(3)} → ${after.toFixed(3)} on ${on}; on the labeled windows ${share(taught.before)} → ${share(taught.after)} correct${only}`;
  return used
    ? `the last layer was retrained and is in use: ${figures}; saved as ${file}`
    : `the model is unchanged, because the retrained one would be worse: ${figures}. Label more windows, or start with --yes to use it anyway.`;
}

/** Prefix of the names of recordings that were marked in a running loop. */
const taughtPrefix = 'taught-';

/** Holds out the second of every three recordings of a label. If there is only one, it is used for training. */
const isHeldOut = (index: number) => index % 3 === 1;

/** Windows of a project's recordings. Each recording is processed once, unless the model's signal processing changes. */
class Lessons {
  private readonly windows = new Map<string, LabelledWindow[]>();
  private signal = '';
  private recordings: Map<string, Recording> | null = null;

  constructor(
    private readonly project: Project,
    private readonly folder: string,
  ) {}

  /** Adds a recording that was just marked and is on disk. */
  async add(recording: Recording): Promise<void> {
    (await this.open()).set(recording.id, recording);
  }

  /**
   * The model's previous training data, with the same split, plus the samples marked since.
   * @param breathe called between recordings, so that new samples are processed meanwhile
   * @throws AIOT_DATA_CHANGED and the errors of reading recordings, AIOT_TRAINING_DATA_UNFIT
   */
  async of(info: BundleInfo, breathe: () => Promise<void>): Promise<Lesson> {
    const signal = JSON.stringify([info.signal, info.labels, info.classes]);
    if (signal !== this.signal) this.windows.clear();
    this.signal = signal;
    const recordings = await this.open();
    const windowsOf = async (ids: Iterable<string>) => {
      const all: LabelledWindow[] = [];
      for (const id of ids) {
        const recording = recordings.get(id);
        if (!recording) continue;
        const known = this.windows.get(id) ?? labelledWindows(info, recording);
        if (!this.windows.has(id)) await breathe();
        this.windows.set(id, known);
        all.push(...known);
      }
      return all;
    };
    const { train, test } = info.lineage.split;
    const marked = markedOf(recordings.values());
    const isMarked = (id: string) => id.startsWith(taughtPrefix);
    const old = (ids: string[]) => windowsOf(ids.filter((id) => !isMarked(id)));
    return {
      old: await old(train),
      taught: await windowsOf(marked.train),
      heldOut: [...(await old(test)), ...(await windowsOf(marked.heldOut))],
    };
  }

  /** The recordings in the folder; none if it does not exist yet. */
  private async open(): Promise<Map<string, Recording>> {
    if (this.recordings) return this.recordings;
    const there = (await stat(this.folder).catch(() => null))?.isDirectory() ?? false;
    const dataset = there
      ? await openDataset(this.project, this.folder).catch((error: unknown) => {
          if (hasCode(error, 'AIOT_DATA_EMPTY')) return null;
          throw error;
        })
      : null;
    this.recordings = new Map((dataset?.recordings ?? []).map((recording) => [recording.id, recording]));
    return this.recordings;
  }
}

function markedOf(recordings: Iterable<Recording>): { train: string[]; heldOut: string[] } {
  const byLabel = new Map<string, Recording[]>();
  for (const recording of recordings) {
    if (!recording.id.startsWith(taughtPrefix) || recording.label === null) continue;
    byLabel.set(recording.label, [...(byLabel.get(recording.label) ?? []), recording]);
  }
  const parts = { train: [] as string[], heldOut: [] as string[] };
  for (const own of byLabel.values()) {
    own.sort((a, b) => (a.startedAt ?? 0) - (b.startedAt ?? 0) || (a.id < b.id ? -1 : 1));
    own.forEach(({ id }, i) => {
      (isHeldOut(i) ? parts.heldOut : parts.train).push(id);
    });
  }
  return parts;
}
