import { hostname } from 'node:os';
import { join } from 'node:path';
import { AiotError, namePattern, systemClock, withLock, writeFileAtomic } from '../../core/index.js';
import { type Recording, saveRecordings } from '../../data/index.js';
import { buildFiles, retrainLastLayer } from '../../model/index.js';
import { keysOf, recordedLabel, retrainKey } from './labels.js';
import { Lessons, taughtPrefix } from './lessons.js';
import { readMark } from './payload.js';
import { createRing } from './ring.js';
import { textOf } from './text.js';
import type { TaughtResult, TeachEvent, Teacher, TeacherOptions } from './types.js';

/** As long as `data record` waits for another one that changes the same data folder, ms. */
const lockMs = 30_000;
/** Sensors give no more. */
const decimals = 6;

/**
 * Opens what teaches the model of a running loop. Recordings are kept first, whatever the model makes of them; then its last layer is
 * learned anew, compared with the one in use on what was held out, and used where it is not worse.
 * @throws AIOT_MODEL_UNFIT where the model in use names no classes
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
      throw new AiotError('AIOT_MODEL_UNFIT', `${info.name} names no classes that could be taught`);
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
      // Taken now: what comes while others are being saved is not what was meant.
      const recording = this.take(label, seconds);
      void this.inTurn(async () => {
        await this.save(recording);
        if (isKnown) await this.learn();
        else {
          this.tell(
            'kept',
            `the model has no class for ${label}: the recording is kept, and a full training is needed (model.labels in aiot.yaml, then aiot model train)`,
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
    // What was asked for meanwhile is waited for too.
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

  /** What one mark takes. */
  private get seconds(): number {
    const { windowSamples, resampleHz } = this.options.keeper.current().info.signal;
    return this.options.seconds ?? Math.max(5, (2 * windowSamples) / resampleHz);
  }

  private get clock() {
    return this.options.clock ?? systemClock;
  }

  /** One after the other; none ends the next. */
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
        `${got.toFixed(1)} s without a gap have been seen so far, and the model looks at ${window} s at a time`,
        { next: 'Go on for a little longer, then mark it again.' },
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
    // As `data record` does, which may run beside this.
    await withLock(join(folder, '.lock'), lockMs, () =>
      saveRecordings({ folder, config, recordings: [recording], decimals }),
    );
    await this.lessons.add(recording);
    const seconds = (recording.columns[0]?.length ?? 0) / recording.rateHz;
    this.tell('marked', `${seconds.toFixed(1)} s of ${recording.label} are kept as ${recording.id}`);
  }

  private async learn(): Promise<TaughtResult | null> {
    const { keeper, project, yes = false } = this.options;
    const started = performance.now();
    const model = keeper.current();
    if (!model.bundle) throw new AiotError('AIOT_MODEL_UNFIT', `${model.name} cannot be taught here`);
    const lesson = await this.lessons.of(model.info, breathe);
    const now = Math.round(this.clock.now());
    const taught = await retrainLastLayer({ from: model.digest, bundle: model.bundle, lesson, now, breathe });
    if (keeper.current().digest !== model.digest) {
      throw new AiotError('AIOT_MODEL_STALE', 'another model was put in use meanwhile', {
        next: `Press ${retrainKey} to teach that one.`,
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

/** Lets samples that wait come through. */
const breathe = () => new Promise<void>((resolve) => setImmediate(resolve));
