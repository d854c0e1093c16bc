import type { Clock } from '../../core/time.js';
import type { StreamCredentials, StreamOptions } from '../../stream/message.js';
import type { ModelKeeper, Outputs, Sensing } from '../types.js';

/** The single stream, as used by the original's containers. */
export const motionStream = 'RPI';

/** Subjects of a sample's values, in the order in which they are published. */
export const axes = ['x', 'y', 'z'] as const;

/** Subjects of the stages' results. */
export const subjects = { feats: 'feats', predictions: 'predictions', output: 'output' } as const;

/** Stream for the layout with one record per sample. It is separate, so that the six original subjects stay unchanged. */
export const recordStream = 'SAMPLES';

const recordSubject = 'samples';

/** Maximum age of messages, ms. The stream deletes older ones, and the stages discard them. */
export const maxAgeMs = 30_000;

/** Deduplication window for message ids, ms. */
const duplicateWindowMs = 29_000;

/** Samples per window, and samples per second. Windows do not overlap. */
export const windowSamples = 500;

export const windowRateHz = 100;

/** Name of the durable consumer of a subject, which the original's clients use too. */
function consumerOf(stream: string, subject: string): string {
  return `${stream}-sub-${subject}`;
}

/** Standard JetStream header with the name of the stream for which a message is intended. */
export const expectedStream = 'Nats-Expected-Stream';

/** Header with the message id. Messages with the same id are stored once within the stream's deduplication window. */
export const messageId = 'Nats-Msg-Id';

/** A stream of the motion system, as created by `aiot stream create` and `aiot deploy render`. */
export interface MotionStream {
  name: string;
  subjects: string[];
  storage: 'file';
  retention: 'workqueue';
  discard: 'old';
  replicas: number;
  maxAgeMs: number;
  duplicateWindowMs: number;
  consumers: { name: string; subject: string; ackWaitMs: number; maxAckPending: number }[];
}

/**
 * Stream RPI: six subjects, a work queue of 30 s on disk, and the five consumers that its readers use. The acknowledgment wait equals the
 * lifetime of messages. The original's clients need that, because they never acknowledge: with a shorter wait they would receive everything
 * twice. The limit of 1000 pending messages is the server's default, and covers two windows per axis.
 */
export const motionStreams: Record<typeof motionStream | typeof recordStream, MotionStream> = {
  RPI: streamOf(
    motionStream,
    [...axes, subjects.feats, subjects.predictions, subjects.output],
    [...axes, subjects.feats, subjects.predictions],
  ),
  SAMPLES: streamOf(recordStream, [recordSubject], [recordSubject]),
};

function streamOf(name: string, all: string[], read: string[]): MotionStream {
  return {
    name,
    subjects: all,
    storage: 'file',
    retention: 'workqueue',
    discard: 'old',
    replicas: 1,
    maxAgeMs,
    duplicateWindowMs,
    consumers: read.map((subject) => ({
      name: consumerOf(name, subject),
      subject,
      ackWaitMs: maxAgeMs,
      maxAckPending: 1000,
    })),
  };
}

/** Options for reading a durable consumer from the beginning. A work queue contains only messages that were not consumed. */
export function reading(
  stream: string,
  subject: string,
): Pick<StreamOptions, 'stream' | 'durable' | 'from' | 'queue'> {
  return { stream, durable: consumerOf(stream, subject), from: 'beginning', queue: 1000 };
}

/** The parts of the motion system. Each part replaces one of the original's containers. */
export const stageNames = ['sense', 'extract', 'predict', 'output'] as const;

export type StageName = (typeof stageNames)[number];

/** The options of one stage of the motion system: `aiot loop run --stage NAME`. */
export interface StageOptions {
  stage: StageName;
  /**
   * The environment variables NATS_ADDRESS and NATS_TOKEN; the stage `output` also reads REDIS_ADDRESS, REDIS_PASSWORD, TELEGRAM_KEY and
   * TELEGRAM_CHAT. The original's containers use the same names.
   */
  env: Readonly<Record<string, string | undefined>>;
  /**
   * `--out` and `--sensor` as given. A `nats:` or `natss:` URL among them overrides NATS_ADDRESS. If it has a subject
   * (`nats://HOST/samples`), `sense` writes, and `extract` reads, one record per sample on that subject instead of x, y and z.
   */
  urls?: readonly string[];
  /** CA, client certificate and token for NATS, from the flags common to all commands that connect to a broker. */
  credentials?: StreamCredentials;
  /** `sense`: opens the source of samples; called once, closed by the stage. */
  openSensing?: () => Promise<Sensing>;
  /** `predict`: opens the model; called once, closed by the stage. */
  openModels?: () => Promise<ModelKeeper>;
  /** `output`: opens the destinations of the smoothed labels in addition to NATS, Redis and Telegram; called once, closed by the stage. */
  openOutputs?: () => Promise<Outputs>;
  /** `extract`: corner frequency of a low-pass that is applied before windowing; absent = none, as in the original. */
  lowpassHz?: number | null;
  clock?: Clock;
  /** Ends the stage. Messages in flight are delivered first. */
  signal?: AbortSignal;
  onEvent?: (event: StageEvent) => void;
}

export type StageEvent =
  | { kind: 'ready'; endpoint: string }
  /** The destination has become unreachable, or reachable again. */
  | { kind: 'away' | 'back'; what: string; why?: string }
  /** Samples or messages that were not used, and why. */
  | { kind: 'lost'; count: number; why: string }
  /** The features of a window were published. */
  | { kind: 'window'; window: number; t: number }
  /** `voted` null: smoothing has no result. */
  | { kind: 'label'; label: string; voted?: string | null; t: number };

/** Summary of a stage, returned when it ends. */
export interface StageResult {
  stage: StageName;
  /** Address of the server, without credentials. */
  endpoint: string;
  /** Samples published (sense) or read as complete rows (extract); messages read (predict, output). */
  taken: number;
  /** Messages published: axes or records, feats, predictions, output. */
  published: number;
  windows: number;
  /** Samples that never became part of a row, or had expired when the server became reachable again. */
  lost: number;
  /** Number of malformed messages. */
  refused: number;
}

/**
 * Formats a number as Python's `repr` does for a float, which is the text sent on x, y and z. It has the shortest digits that parse to the
 * same number, and always a point or an exponent. An exponent is used from 1e16 up and below 1e-4 (Python's `float_repr_style`, "short").
 */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const size = Math.abs(value);
  if (size >= 1e16 || size < 1e-4) {
    const [digits = '', exponent = '0'] = value.toExponential().split('e');
    const power = Math.abs(Number(exponent)).toString().padStart(2, '0');
    return `${digits}e${exponent.startsWith('-') ? '-' : '+'}${power}`;
  }
  const text = String(value);
  return text.includes('.') ? text : `${text}.0`;
}

/** Parses one line of ASCII, as written by `pythonFloat`; NaN if it is not a finite number. */
export function floatOf(payload: Uint8Array): number {
  const text = Buffer.from(payload).toString('latin1').trim();
  return /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}
