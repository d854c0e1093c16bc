import type { Delivery, Message } from '../../stream/index.js';

/** A message of the broker, as it offers it to readers in its own process. */
export interface Offered {
  topic: string;
  payload: Buffer;
  qos: 0 | 1 | 2;
  retain: boolean;
}

/** What waits for the readers of one message. */
class Held {
  constructor(
    private waiting: number,
    private readonly done: (error?: Error | null) => void,
    readonly message: Message,
  ) {}

  acked(): void {
    if (--this.waiting === 0) this.done(null);
  }

  /** The first that could not keep it decides; those that come later change nothing. */
  refused(): void {
    if (this.waiting <= 0) return;
    this.waiting = 0;
    this.done(new Error(`a reader of ${this.message.topic} could not keep the message`));
  }
}

/** One reader's part of it: it says once what became of it. */
export class HeldDelivery implements Delivery {
  private told = false;

  constructor(
    private readonly held: Held,
    private readonly open: Set<HeldDelivery>,
  ) {}

  get message(): Message {
    return this.held.message;
  }

  ack(): void {
    if (this.told) return;
    this.told = true;
    this.open.delete(this);
    this.held.acked();
  }

  nack(): void {
    if (this.told) return;
    this.told = true;
    this.open.delete(this);
    this.held.refused();
  }
}

/** A reader, as messages see it. */
export interface Taker {
  /** Taken, and neither acked nor nacked yet: their publishers wait. */
  readonly open: Set<HeldDelivery>;
  /** Now, or when there is room. */
  take(delivery: HeldDelivery, bytes: number): void;
}

/**
 * One message for several readers: `done` is called once, when each of them has acked it, or with an error as soon as one has
 * not. Their deliveries share the message.
 */
export function offerTo(
  takers: readonly Taker[],
  { topic, payload, qos, retain }: Offered,
  source: string,
  done: (error?: Error | null) => void,
): void {
  const message: Message = { topic, payload, time: Date.now(), qos, retain, source };
  const held = new Held(takers.length, done, message);
  for (const taker of takers) {
    const delivery = new HeldDelivery(held, taker.open);
    taker.open.add(delivery);
    taker.take(delivery, payload.length);
  }
}
