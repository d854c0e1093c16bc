import * as z from 'zod';
import { parsedJson } from '../../core/text.js';
import type { Delivery, Message } from '../../stream/message.js';
import { follow } from './follow.js';
import { axes, floatOf, messageId, motionStream, recordStream, subjects, windowSamples } from './layout.js';
import { openSender } from './sender.js';
import { type Stage, whenOpen } from './stage.js';
import { createWindows, encodeFrame } from './windows.js';

/**
 * Collects samples into windows of 500, computes the 115 features of each, and publishes them as a table on `feats`. A partial window waits
 * for further samples, across restarts and pauses of up to 30 s. Its samples are acknowledged only after its features have been stored.
 */
export async function extractStage(
  stage: Stage,
  { lowpassHz = null, samples = windowSamples }: { lowpassHz?: number | null; samples?: number },
): Promise<void> {
  const { server, result } = stage;
  const sender = await openSender(stage, motionStream);
  const windows = createWindows(samples, lowpassHz);
  let held: Sample[] = [];
  const settle = (done: readonly Sample[]) => {
    for (const { ack } of done) ack();
  };
  const take = (sample: Sample) => {
    if (!windows.continues(sample.time)) {
      stage.tell({ kind: 'lost', count: held.length, why: 'a gap occurred before their window was full' });
      result.lost += held.length;
      settle(held);
      held = [];
      windows.reset();
    }
    result.taken++;
    held.push(sample);
    const features = windows.push(sample.values, sample.time);
    if (features === null) return;
    const full = held;
    held = [];
    const window = result.windows++;
    const message = { subject: subjects.feats, payload: encodeFrame(windows.names, features) };
    void sender.send([{ ...message, id: `feats-${full[0]!.sequence}` }]).then((arrived) => {
      if (arrived) result.published++;
      // On shutdown it is unknown whether the message will be stored. Its samples stay unacknowledged, so that the next reader gets them.
      if (arrived || !stage.signal.aborted) settle(full);
      if (arrived) stage.tell({ kind: 'window', window, t: sample.time });
    });
  };
  try {
    await (server.subject === '' ? axesInlet(stage, take) : recordsInlet(stage, take));
  } finally {
    await sender.close();
  }
}

/** One complete sample from the stream. */
interface Sample {
  values: readonly [number, number, number];
  /** Time of storage in the stream, ms since 1970. */
  time: number;
  /** Sequence number, in the stream, of the sample's first message. */
  sequence: number;
  /** Called when the sample is no longer needed. */
  ack(): void;
}

/** Maximum number of settled messages that are remembered: at least three messages per sample, for the lifetime of messages. */
const mostPast = 10_000;

/** Reads samples spread over three subjects and joins them. Resolves when the stage has ended. */
async function axesInlet(stage: Stage, take: (sample: Sample) => void): Promise<void> {
  const { result } = stage;
  let rows = createRows();
  let lostBefore = 0;
  /** Pending acknowledgment of each message that has not been used yet, or is in a window. */
  const held = new Map<number, Delivery>();
  /** The last message of each axis that was used or discarded. */
  const done = axes.map(() => ({ sequence: 0, time: 0 }));

  /** Sequence numbers of settled messages, remembered for as long as the messages may be redelivered. */
  const past = new Set<number>();

  const settle = (sequence: number) => {
    held.get(sequence)?.ack();
    held.delete(sequence);
    past.add(sequence);
    if (past.size > mostPast) past.delete(past.values().next().value!);
  };
  /**
   * Handles an old message. It was either redelivered, because its acknowledgment was lost, or overtaken by newer ones, which counts as a
   * loss.
   */
  const late = (sequence: number, delivery: Delivery) => {
    delivery.ack();
    if (past.has(sequence)) return;
    past.add(sequence);
    overtaken++;
    if (overtaken % axes.length !== 0) return;
    result.lost++;
    stage.tell({ kind: 'lost', count: 1, why: 'its messages were overtaken by later ones' });
  };
  let overtaken = 0;
  const begin = () => {
    for (const { sequence } of rows.clear()) settle(sequence);
    lostBefore += rows.lost;
    rows = createRows();
    for (const one of done) Object.assign(one, { sequence: 0, time: 0 });
  };
  const drain = () => {
    for (let found = rows.next(); found; found = rows.next()) {
      if ('orphan' in found) {
        done[found.axis] = found.orphan;
        settle(found.orphan.sequence);
        continue;
      }
      const { row } = found;
      row.forEach((message, axis) => {
        done[axis] = message;
      });
      const [x, y, z] = row;
      const ack = () => {
        for (const { sequence } of row) settle(sequence);
      };
      if (row.every(({ value }) => Number.isFinite(value))) {
        take({ values: [x.value, y.value, z.value], time: x.time, sequence: x.sequence, ack });
        continue;
      }
      result.refused++;
      stage.tell({ kind: 'lost', count: 1, why: 'a value is not a number' });
      ack();
    }
    const lost = lostBefore + rows.lost;
    if (lost > counted) {
      stage.tell({ kind: 'lost', count: lost - counted, why: 'one axis is missing' });
      result.lost += lost - counted;
      counted = lost;
    }
  };
  let counted = 0;
  const came = (axis: number, delivery: Delivery) => {
    const { message } = delivery;
    const sequence = Number(message.position);
    const last = done[axis]!;
    if (held.has(sequence)) {
      // Redelivered, for example after a lost connection. The newest delivery is the one to acknowledge.
      held.set(sequence, delivery);
      return;
    }
    if (sequence <= last.sequence) {
      if (message.time <= last.time) return late(sequence, delivery);
      // If sequence numbers start over, the stream was re-created.
      begin();
    }
    held.set(sequence, delivery);
    const { time, payload } = message;
    rows.push(axis, { sequence, time, value: floatOf(payload), sample: sampleOf(message, axis) });
  };
  const ready = whenOpen(stage, axes.length);
  await Promise.all(
    axes.map(async (subject, axis) => {
      for await (const batch of follow(stage, motionStream, subject, ready)) {
        for (const delivery of batch) came(axis, delivery);
        drain();
      }
    }),
  );
}

/** The sample of one of our own messages: the message id without the axis. Undefined for other publishers' messages. */
function sampleOf({ headers }: Message, axis: number): string | undefined {
  const id = headers?.find(([name]) => name === messageId)?.[1];
  const end = `-${axes[axis]}`;
  return typeof id === 'string' && id.endsWith(end) ? id.slice(0, -end.length) : undefined;
}

const recordSchema = z.object({ n: z.int().optional(), x: z.number(), y: z.number(), z: z.number() });

/** Reads records from one subject, each of which is a sample. Resolves when the stage has ended. */
async function recordsInlet(stage: Stage, take: (sample: Sample) => void): Promise<void> {
  const { result } = stage;
  let expected: number | undefined;
  let last = { sequence: 0, time: 0 };
  const ready = whenOpen(stage, 1);
  for await (const batch of follow(stage, recordStream, stage.server.subject, ready)) {
    for (const delivery of batch) {
      const { message } = delivery;
      const sequence = Number(message.position);
      const again = sequence <= last.sequence && message.time <= last.time;
      const record = again ? undefined : recordOf(message.payload);
      if (!record) {
        delivery.ack();
        if (!again) result.refused++;
        continue;
      }
      last = { sequence, time: message.time };
      const { n, x, y, z } = record;
      if (n !== undefined && expected !== undefined && n > expected) {
        stage.tell({ kind: 'lost', count: n - expected, why: 'they never arrived' });
        result.lost += n - expected;
      }
      expected = n === undefined ? undefined : n + 1;
      take({ values: [x, y, z], time: message.time, sequence, ack: () => delivery.ack() });
    }
  }
}

function recordOf(payload: Uint8Array): z.output<typeof recordSchema> | undefined {
  return recordSchema.safeParse(parsedJson(Buffer.from(payload))).data;
}

/** A value of one axis as stored in the stream. */
export interface AxisMessage {
  /** Sequence number in the stream, counted across all its subjects. */
  sequence: number;
  /** Time of storage in the stream, ms since 1970. */
  time: number;
  value: number;
  /** ID of the message's sample, if the publisher provides one. */
  sample?: string | undefined;
}

type Row = readonly [x: AxisMessage, y: AxisMessage, z: AxisMessage];

/** A complete row, or one message that can never become part of one. */
type Found = { row: Row } | { orphan: AxisMessage; axis: number };

interface Rows {
  /** @returns false if the message is already queued */
  push(axis: number, message: AxisMessage): boolean;
  /** The next row or orphan; null = it cannot be determined without further messages. */
  next(): Found | null;
  /** Number of samples that are missing an axis. */
  readonly lost: number;
  /** Discards and returns all queued messages. */
  clear(): AxisMessage[];
}

/** Maximum number of queued messages of one axis while another axis has none. Further messages replace the oldest ones. */
const mostWaiting = 1000;

/**
 * Joins x, y and z. The original's messages carry no sample number, and matching them by order of arrival would shift an axis permanently
 * when a message is lost. However, every publisher sends x, then y, then z. In stream order, a row is therefore an x, the first y after it
 * and the first z after that, all before the next x and y. Messages that do not fit are discarded individually. (If three consecutive
 * messages are lost, starting with a y, two samples still become one row. Our own messages prevent that, because they carry an ID of their
 * sample.)
 */
export function createRows(): Rows {
  const queues: [AxisMessage[], AxisMessage[], AxisMessage[]] = [[], [], []];
  let lost = 0;
  /** Axis of the last orphan of the sample that is being discarded; −1 = none. */
  let broken = -1;

  const give = (axis: number): Found => {
    const orphan = queues[axis]!.shift()!;
    // The axes that follow in the order of a sample belong to the same sample.
    if (axis <= broken || broken === -1) lost++;
    broken = axis;
    return { orphan, axis };
  };

  return {
    get lost() {
      return lost;
    },
    push(axis, message) {
      const queue = queues[axis]!;
      let at = queue.length;
      while (at > 0 && queue[at - 1]!.sequence > message.sequence) at--;
      if (queue[at - 1]?.sequence === message.sequence) return false;
      queue.splice(at, 0, message);
      return true;
    },
    next() {
      const [x, y, z] = queues.map(([first]) => first);
      if (!x || !y || !z) {
        const full = queues.findIndex(({ length }) => length > mostWaiting);
        return full < 0 ? null : give(full);
      }
      if (y.sequence < x.sequence || z.sequence < x.sequence) return give(y.sequence < z.sequence ? 1 : 2);
      if (z.sequence < y.sequence) return give(0);
      if (z.sequence - x.sequence > 2) {
        // The gap may contain other subjects, or parts of a later sample. The next x and y determine which.
        const [x2, y2] = [queues[0][1], queues[1][1]];
        if (Math.min(x2?.sequence ?? z.sequence, y2?.sequence ?? z.sequence) < z.sequence) return give(0);
        if (!x2 || !y2) return null;
      }
      if (x.sample !== undefined && (x.sample !== y.sample || x.sample !== z.sample)) return give(0);
      for (const queue of queues) queue.shift();
      broken = -1;
      return { row: [x, y, z] };
    },
    clear() {
      broken = -1;
      return queues.flatMap((queue) => queue.splice(0));
    },
  };
}
