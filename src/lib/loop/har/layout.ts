import type { StreamOptions } from '../../stream/index.js';

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
