import { AiotError } from '../../core/errors.js';
import { newId } from '../../core/names.js';
import { onAbort } from '../../core/tasks.js';
import type { SampleBatch, SampleField } from '../../sensor/types.js';
import type { Sensing } from '../types.js';
import { axes, motionStream, pythonFloat, recordStream } from './layout.js';
import { type Outgoing, openSender } from './sender.js';
import type { Stage } from './stage.js';

/**
 * Publishes a sensor's samples. By default each value is ASCII text on x, y and z, in this order, like the original's script. If
 * `server.subject` is set, each sample is one JSON record on that subject, so its axes cannot be separated:
 * `{"n":number,"t":ms,"x":g,"y":g,"z":g}`.
 * @throws AIOT_LOOP_STAGE (a sensor without three axes), and the errors of opening
 */
export async function senseStage(stage: Stage, openSensing: () => Promise<Sensing>): Promise<void> {
  const { server, result, signal } = stage;
  const asRecords = server.subject !== '';
  const sensing = await openSensing();
  const close = () => void sensing.close();
  const leave = onAbort(signal, close);
  try {
    const { fields } = sensing;
    if (!asRecords) requireAxes(fields);
    const sender = await openSender(stage, asRecords ? recordStream : motionStream);
    stage.tell({ kind: 'ready', endpoint: server.endpoint });
    const messagesOf = asRecords ? recordsOn(server.subject, fields) : axesOf(newId('run'), fields.length);
    try {
      for await (const batch of sensing) {
        if (batch.lost > 0) stage.tell({ kind: 'lost', count: batch.lost, why: 'lost by the sensor' });
        result.lost += batch.lost;
        const from = result.taken;
        result.taken += batch.count;
        const messages = messagesOf(batch, from);
        void sender.send(messages).then((arrived) => {
          if (arrived) result.published += messages.length;
          else result.lost += batch.count;
        });
        await sender.room();
      }
    } finally {
      await sender.close();
    }
  } finally {
    leave();
    await sensing.close();
  }
}

type MessagesOf = (batch: SampleBatch, from: number) => Outgoing[];

function requireAxes(fields: readonly SampleField[]): void {
  const names = fields.map(({ name }) => name).join();
  if (names === axes.join()) return;
  throw new AiotError('AIOT_LOOP_STAGE', `expected the fields x, y, z of the motion system, got ${names}`, {
    next: 'Use these names for the axes in aiot.yaml, or send one record per sample: --out nats://HOST:4222/samples',
  });
}

function axesOf(run: string, width: number): MessagesOf {
  return ({ values, count }, from) => {
    const messages: Outgoing[] = [];
    for (let i = 0; i < count; i++) {
      axes.forEach((subject, a) => {
        const payload = pythonFloat(values[i * width + a]!);
        messages.push({ subject, payload, id: `${run}-${from + i}-${subject}` });
      });
    }
    return messages;
  };
}

function recordsOn(subject: string, fields: readonly SampleField[]): MessagesOf {
  const run = newId('run');
  return ({ values, times, count }, from) =>
    Array.from({ length: count }, (_, i) => {
      const n = from + i;
      const record: Record<string, number> = { n, t: times[i]! };
      fields.forEach(({ name }, f) => {
        record[name] = values[i * fields.length + f]!;
      });
      return { subject, payload: JSON.stringify(record), id: `${run}-${n}` };
    });
}
