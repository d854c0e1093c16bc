import { hasCode } from '../../../core/index.js';
import type { OutgoingMessage, Sink } from '../../../stream/index.js';
import type { Cursor } from './cursor.js';
import type { Item } from './messages.js';

export interface LaneFigures {
  sent: number;
  /** Messages that the far side will never take, such as one that is too large: told in the log, and passed over. */
  refused: number;
  /** When the oldest that is not sent yet came to be, ms since 1970; null = nothing waits. */
  waitingSince: number | null;
}

export interface LaneOptions {
  /** Behind a position, in order, and then those to come. */
  source: (position: string | null, signal: AbortSignal) => AsyncIterable<readonly Item[]>;
  cursor: Cursor;
  onRefused: (error: unknown, id: string) => void;
}

/** One write at most: so much waits in memory, and no more. */
const mostMessages = 1000;
const mostBytes = 2 * 1024 * 1024;
/** Between two saves of the cursor, ms: what was sent since is sent again after a crash. */
const saveEveryMs = 500;

/** Sends one log on, in its order: the next write begins when the far side has the one before. */
export class Lane {
  readonly figures: LaneFigures = { sent: 0, refused: 0, waitingSince: null };

  constructor(private readonly options: LaneOptions) {}

  /** Until the signal ends. @throws what the sink throws, except for messages that it will never take */
  async run(sink: Sink, signal: AbortSignal): Promise<void> {
    const { source, cursor } = this.options;
    const start = await cursor.read();
    let [saved, position] = [start, start];
    const save = async () => {
      if (position === null || position === saved) return;
      saved = position;
      await cursor.save(position);
    };
    // What could not be saved now is with the next one.
    const saving = setInterval(() => void save().catch(() => {}), saveEveryMs);
    try {
      for await (const items of source(start, signal)) {
        for (const part of partsOf(items)) {
          this.figures.waitingSince = part[0]?.at ?? null;
          await this.send(sink, part);
          position = part.at(-1)?.position ?? position;
          if (signal.aborted) return;
        }
        this.figures.waitingSince = null;
      }
    } finally {
      clearInterval(saving);
      await save().catch(() => {});
    }
  }

  private async send(sink: Sink, items: readonly Item[]): Promise<void> {
    const messages = items.flatMap(({ message }) => message ?? []);
    if (messages.length === 0) return;
    try {
      await sink.write(messages);
      this.figures.sent += messages.length;
    } catch (error) {
      if (!hasCode(error, 'AIOT_STREAM_MESSAGE_REFUSED')) throw error;
      for (const message of messages) await this.sendOne(sink, message);
    }
  }

  /** Of many, one is not taken: the others are, though some of them twice. */
  private async sendOne(sink: Sink, message: OutgoingMessage): Promise<void> {
    try {
      await sink.write([message]);
      this.figures.sent++;
    } catch (error) {
      if (!hasCode(error, 'AIOT_STREAM_MESSAGE_REFUSED')) throw error;
      this.figures.refused++;
      this.options.onRefused(error, String(message.headers?.[1]?.[1]));
    }
  }
}

function* partsOf(items: readonly Item[]): Generator<Item[]> {
  let part: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = item.message?.payload.length ?? 0;
    if (part.length >= mostMessages || (part.length > 0 && bytes + size > mostBytes)) {
      yield part;
      [part, bytes] = [[], 0];
    }
    part.push(item);
    bytes += size;
  }
  if (part.length > 0) yield part;
}
