import { hostname } from 'node:os';
import { namePattern, type ProjectConfig } from '../../core/index.js';
import type { Recording } from '../../data/index.js';
import type { SampleBatch, SampleField } from '../../sensor/index.js';
import type { LoopTap } from './engine.js';

export interface RecorderOptions {
  folder: string;
  config: ProjectConfig;
  fields: readonly SampleField[];
  rateHz: number;
  /** Longest recording, seconds. */
  longestSeconds?: number;
  /** Most that is kept of what loops have recorded there, samples: the oldest go. */
  mostSamples?: number;
  onEvent: (text: string) => void;
}

/** Keeps what the sensor gives as recordings. */
export interface Recorder extends LoopTap {
  samples(batch: SampleBatch): void;
  /** What was kept since it began. */
  kept(): { folder: string; recordings: number; samples: number };
  /** The last recording is on disk. */
  close(): Promise<void>;
}

/** A recording is written at once, and samples wait meanwhile: some hundredths of a second for so many. */
const mostAtOnce = 50_000;
/** A week of 100 Hz: some gigabytes. */
const usualMost = 60_480_000;
/** Recordings that a slow disk has not taken yet; more are thrown away. */
const mostWaiting = 4;
/** Of its recordings' names. */
const prefix = 'loop-';

/** What comes goes to a new recording every five minutes, and after a gap: a recording is one take without a break. */
export function createRecorder(options: RecorderOptions): Recorder {
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
    const { rollRecording } = await import('../../data/index.js');
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

/** Where there is no project, what is recorded says itself what it is. */
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
