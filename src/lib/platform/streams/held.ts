import type { Delivery, Message } from '../../stream/index.js';

/** A message of the broker, as it offers it to readers in its own process. */
export interface Offered {
  topic: string;
  payload: Buffer;
  qos: 0 | 1 | 2;
  retain: boolean;
}

/** Takes a delivery, now or when there is room; resolves false when the reader has gone. */
export type Take = (delivery: Delivery, bytes: number) => void;

/**
 * One message for several readers: `done` is called once, when each of them has acked it, or with an error as soon as one has
 * not. Their deliveries share the message.
 */
export function offerTo(
  readers: readonly Take[],
  offered: Offered,
  source: string,
  done: (error?: Error | null) => void,
): void {
  const { topic, payload, qos, retain } = offered;
  const message: Message = { topic, payload, time: Date.now(), qos, retain, source };
  let waiting = readers.length;
  let settled = false;
  const finish = (error: Error | null) => {
    if (settled) return;
    settled = true;
    done(error);
  };
  for (const take of readers) {
    let told = false;
    take(
      {
        message,
        ack() {
          if (told) return;
          told = true;
          if (--waiting === 0) finish(null);
        },
        nack() {
          if (told) return;
          told = true;
          finish(new Error(`a reader of ${topic} could not keep the message`));
        },
      },
      payload.length,
    );
  }
}
