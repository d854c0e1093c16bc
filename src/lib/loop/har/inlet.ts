import { z } from 'zod';
import type { Delivery, Message } from '../../stream/index.js';
import { floatOf } from './float.js';
import { follow } from './follow.js';
import { axes, messageId, motionStream, recordStream } from './layout.js';
import { createRows } from './rows.js';
import { type Stage, whenOpen } from './stage.js';

/** One whole sample from the stream. */
export interface Sample {
  values: readonly [number, number, number];
  /** When the stream took it, ms since 1970. */
  time: number;
  /** In the stream: of its first message. */
  sequence: number;
  /** To be called when nobody needs it again. */
  ack(): void;
}

/** Three messages a sample, of as long as they live. */
const mostPast = 10_000;

/** Samples by three subjects, put together again. Resolves when the stage is ended. */
export async function axesInlet(stage: Stage, take: (sample: Sample) => void): Promise<void> {
  const { result } = stage;
  let rows = createRows();
  let lostBefore = 0;
  /** Last acknowledgement to give of each message that was not used yet, or is in a window. */
  const held = new Map<number, Delivery>();
  /** What was last used or given up of each axis. */
  const done = axes.map(() => ({ sequence: 0, time: 0 }));

  /** Sequences that were settled, as long as they may come again. */
  const past = new Set<number>();

  const settle = (sequence: number) => {
    held.get(sequence)?.ack();
    held.delete(sequence);
    past.add(sequence);
    if (past.size > mostPast) past.delete(past.values().next().value!);
  };
  /** Settled before, and here again since nobody heard of that; or overtaken by others, which is a loss. */
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
      stage.tell({ kind: 'lost', count: 1, why: 'a value is no number' });
      ack();
    }
    const lost = lostBefore + rows.lost;
    if (lost > counted) {
      stage.tell({ kind: 'lost', count: lost - counted, why: 'an axis of them never came' });
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
      // It came again, as after a lost connection: the newest delivery is the one that counts.
      held.set(sequence, delivery);
      return;
    }
    if (sequence <= last.sequence) {
      if (message.time <= last.time) return late(sequence, delivery);
      // Numbers began anew: somebody has made the stream again.
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

/** Of messages of our own: their id without the axis. */
function sampleOf({ headers }: Message, axis: number): string | undefined {
  const id = headers?.find(([name]) => name === messageId)?.[1];
  const end = `-${axes[axis]}`;
  return typeof id === 'string' && id.endsWith(end) ? id.slice(0, -end.length) : undefined;
}

const recordSchema = z.object({ n: z.int().optional(), x: z.number(), y: z.number(), z: z.number() });

/** Samples by one subject, a record each. Resolves when the stage is ended. */
export async function recordsInlet(stage: Stage, take: (sample: Sample) => void): Promise<void> {
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
        stage.tell({ kind: 'lost', count: n - expected, why: 'they never came' });
        result.lost += n - expected;
      }
      expected = n === undefined ? undefined : n + 1;
      take({ values: [x, y, z], time: message.time, sequence, ack: () => delivery.ack() });
    }
  }
}

function recordOf(payload: Uint8Array): z.output<typeof recordSchema> | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(Buffer.from(payload).toString('utf8'))).data;
  } catch {
    return undefined;
  }
}
