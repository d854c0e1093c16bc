import { AiotError } from '../../core/index.js';
import type { OutgoingMessage } from '../message.js';

/** A write that its caller waits for. It is done when all of its messages are; the first failure fails it. */
export interface Waiting {
  left: number;
  /** ms of `performance.now()`, after which it is given up: the time of day may be put forward and back. */
  deadline: number;
  resolve(): void;
  reject(error: unknown): void;
}

export interface Queued {
  message: OutgoingMessage;
  write: Waiting;
}

/** A batch that is on its way, and that is sent again as it is until it is known what became of it. */
export interface Batch {
  items: Queued[];
  bytes?: Buffer;
}

/** Who writes, as the broker knows an idempotent producer. */
export interface ProducerId {
  id: bigint;
  epoch: number;
}

/** What waits to be written to one partition, in its order. One batch is on its way at a time. */
export class Lane {
  readonly queue: Queued[] = [];
  current: Batch | undefined;
  /** Sequence of the next record, for the idempotent producer whose it is. */
  private sequence = 0;
  private producer: ProducerId | undefined;
  /** Where to begin when the log is as large as may be: messages of a batch. */
  largest = 10_000;

  constructor(
    readonly topic: string,
    readonly partition: number,
  ) {}

  /** The batch to be sent now: the one that is under way, or a new one of what waits. */
  next(limitBytes: number): Batch | undefined {
    if (this.current) return this.current;
    let [count, bytes] = [0, 0];
    for (const { message } of this.queue) {
      bytes += sizeOf(message);
      if (count > 0 && (bytes > limitBytes || count >= this.largest)) break;
      count++;
    }
    if (count === 0) return undefined;
    this.current = { items: this.queue.splice(0, count) };
    return this.current;
  }

  /** Numbers for the first record of a new batch. Each producer's begin at 0, and a broker counts each producer's on their own. */
  numbers(producer: ProducerId | undefined): ProducerId & { sequence: number } {
    if (!producer) return { id: -1n, epoch: -1, sequence: -1 };
    if (this.producer !== producer) this.sequence = 0;
    this.producer = producer;
    return { ...producer, sequence: this.sequence };
  }

  // What is told of a batch that is no longer under way is of no interest: its fate is settled.

  written(batch: Batch): void {
    if (batch !== this.current) return;
    // Sequences are 31 bits wide, and begin again at 0.
    this.sequence = (this.sequence + batch.items.length) % 2 ** 31;
    this.current = undefined;
    for (const { write } of batch.items) if (--write.left === 0) write.resolve();
  }

  /** The broker wants smaller batches. @throws nothing: a single message that is too large fails its write */
  halve(batch: Batch, error: AiotError): void {
    if (batch !== this.current) return;
    this.current = undefined;
    if (batch.items.length === 1) {
      batch.items[0]!.write.reject(error);
      return;
    }
    this.largest = Math.ceil(batch.items.length / 2);
    this.queue.unshift(...batch.items);
  }

  failed(batch: Batch, error: unknown): void {
    if (batch !== this.current) return;
    this.current = undefined;
    for (const { write } of batch.items) write.reject(error);
  }

  /** Fails the writes whose time is over; what is under way stays until its fate is known, unless its time is over too. */
  expire(now: number, error: () => AiotError): boolean {
    const late = ({ write }: Queued) => write.deadline <= now;
    for (const item of this.queue.filter(late)) item.write.reject(error());
    const kept = this.queue.filter((item) => !late(item));
    this.queue.splice(0, this.queue.length, ...kept);
    if (!this.current?.items.some(late)) return false;
    this.failed(this.current, error());
    return true;
  }
}

/** About what a message takes in a batch, bytes. */
export function sizeOf({ payload, key, headers }: OutgoingMessage): number {
  let size = payload.length + (key?.length ?? 0) + 24;
  for (const [name, value] of headers ?? []) size += name.length * 3 + value.length * 3 + 4;
  return size;
}

export function tooLarge(topic: string, endpoint: string, bytes: number): AiotError {
  return new AiotError(
    'AIOT_STREAM_MESSAGE_REFUSED',
    `${endpoint}: a message of ${bytes} bytes is more than ${topic} takes`,
    { endpoint },
  );
}
