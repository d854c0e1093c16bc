import type { Clock } from '../../core/time.js';
import type { StreamCredentials, StreamOptions } from '../../stream/message.js';
import type { ModelKeeper, Outputs, Sensing } from '../types.js';

/** The one stream, as the original's containers know it. */
export const motionStream = 'RPI';

/** Subjects of a sample's values, in the order in which they are published. */
export const axes = ['x', 'y', 'z'] as const;

/** Subjects of what the stages make of them. */
export const subjects = { feats: 'feats', predictions: 'predictions', output: 'output' } as const;

/** The better way has a stream of its own, so that the six subjects of the first stay what they were. */
export const recordStream = 'SAMPLES';

const recordSubject = 'samples';

/** What is older is worth nothing: the stream forgets it, and so do the stages. */
export const maxAgeMs = 30_000;

/** Within this time a message id counts as seen. */
const duplicateWindowMs = 29_000;

/** Samples of a window, and how many a second: windows follow each other without overlap. */
export const windowSamples = 500;

export const windowRateHz = 100;

/** Durable consumer of a subject, under the name that the original's clients use. */
function consumerOf(stream: string, subject: string): string {
  return `${stream}-sub-${subject}`;
}

/** Without it nobody can tell from a message which stream was meant (a header of JetStream itself). */
export const expectedStream = 'Nats-Expected-Stream';

/** A message that is written again within the stream's window is kept once. */
export const messageId = 'Nats-Msg-Id';

/** One stream of the motion system, as `aiot stream create` and `aiot deploy render` make it. */
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
 * Stream RPI: six subjects, a work queue of 30 s on disk, and the five consumers that its readers ask. Their acknowledgements are
 * waited for as long as messages live, which the original's clients rely on: they never acknowledge, and a shorter wait would bring
 * them everything twice. 1000 messages out is the server's own limit, two windows an axis.
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

/** How a durable consumer of the stream is read; beginning at its beginning: a work queue holds what nobody has had. */
export function reading(
  stream: string,
  subject: string,
): Pick<StreamOptions, 'stream' | 'durable' | 'from' | 'queue'> {
  return { stream, durable: consumerOf(stream, subject), from: 'beginning', queue: 1000 };
}

/** The parts of the motion system, each in the place of one of the original's containers. */
export const stageNames = ['sense', 'extract', 'predict', 'output'] as const;

export type StageName = (typeof stageNames)[number];

/** What one stage of the motion system needs: `aiot loop run --stage NAME`. */
export interface StageOptions {
  stage: StageName;
  /**
   * NATS_ADDRESS, NATS_TOKEN; for `output` also REDIS_ADDRESS, REDIS_PASSWORD, TELEGRAM_KEY, TELEGRAM_CHAT. The original's
   * containers have the same.
   */
  env: Readonly<Record<string, string | undefined>>;
  /**
   * `--out` and `--sensor` as given. A `nats:` or `natss:` URL among them is the server, before NATS_ADDRESS; with a subject
   * (`nats://HOST/samples`) `sense` writes, and `extract` reads, one record a sample on that subject instead of x, y and z.
   */
  urls?: readonly string[];
  /** CA, client certificate, token for NATS, from the flags of every command that talks to a broker. */
  credentials?: StreamCredentials;
  /** `sense`: where samples come from; asked once, closed by the stage. */
  openSensing?: () => Promise<Sensing>;
  /** `predict`: the model; asked once, closed by the stage. */
  openModels?: () => Promise<ModelKeeper>;
  /** `output`: where the voted labels go besides NATS, Redis and Telegram; asked once, closed by the stage. */
  openOutputs?: () => Promise<Outputs>;
  /** `extract`: how the windows' signal is conditioned; absent = not at all, as the original. */
  lowpassHz?: number | null;
  clock?: Clock;
  /** Ends it: what is under way arrives first. */
  signal?: AbortSignal;
  onEvent?: (event: StageEvent) => void;
}

export type StageEvent =
  | { kind: 'ready'; endpoint: string }
  /** The far side is gone, or back. */
  | { kind: 'away' | 'back'; what: string; why?: string }
  /** Samples or messages that are not used, and why. */
  | { kind: 'lost'; count: number; why: string }
  /** A window went on as features. */
  | { kind: 'window'; window: number; t: number }
  /** `voted` null: the vote is open. */
  | { kind: 'label'; label: string; voted?: string | null; t: number };

/** What a stage did until it was ended. */
export interface StageResult {
  stage: StageName;
  /** Without credentials. */
  endpoint: string;
  /** Samples published (sense) or taken as whole rows (extract); messages taken (predict, output). */
  taken: number;
  /** Messages published: axes or records, feats, predictions, output. */
  published: number;
  windows: number;
  /** Samples that never became part of a row, or were too old when the server came back. */
  lost: number;
  /** Messages that were not what they should be. */
  refused: number;
}

/**
 * A number as Python's `repr` writes a float, the text that goes over x, y and z: the shortest digits that come back as the same
 * number, always with a point or an exponent, the exponent from 1e16 on and below 1e-4 (Python's `float_repr_style`, "short").
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

/** The inverse, of one line of ASCII; NaN for what is no finite number. */
export function floatOf(payload: Uint8Array): number {
  const text = Buffer.from(payload).toString('latin1').trim();
  return /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}
