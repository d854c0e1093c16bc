import type { SerialPort } from 'serialport';
import type { Delivery, Source, StreamOptions } from '../message.js';
import { createQueue, defaultQueue } from '../queue.js';
import type { StreamUrl } from '../url.js';
import { keepPlugged, serialSettings } from './port.js';

/**
 * Reads lines from a serial port. Each line becomes a message with the port's name as its topic. A port that was
 * unplugged is reopened when it returns, and the truncated line is discarded. With `overflow: 'wait'`, the port is not
 * read while there is no room. With `rtscts`, the peer then waits; without it, only the system's buffer (4 KiB on
 * Linux) prevents loss.
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_DENIED, AIOT_SERIAL_BUSY, AIOT_STREAM_URL
 */
export async function openSerialSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const settings = serialSettings(url);
  const { topic, path } = settings;
  const endpoint = `serial:${path}`;
  const queue = createQueue<Delivery>(options.queue ?? defaultQueue);
  const lines = new LineSplitter(settings.longestLine);
  let dropped = 0;

  const read = async (port: SerialPort, chunk: Buffer) => {
    const time = Date.now();
    for (const payload of lines.push(chunk)) {
      const delivery = { message: { topic, payload, time, source: endpoint }, ack: nothing, nack: nothing };
      if (queue.push(delivery, payload.length)) continue;
      if (options.overflow !== 'wait') {
        dropped++;
        continue;
      }
      port.pause();
      do await queue.whenRoom();
      while (!queue.push(delivery, payload.length) && !closed);
    }
    port.resume();
  };
  let closed = false;
  let opened = false;
  const plugged = await keepPlugged(settings, {
    open(port) {
      lines.reset();
      // Chunks are processed in order, even while an earlier chunk waits for room.
      let last = Promise.resolve();
      port.on('data', (chunk: Buffer) => {
        last = last.then(() => read(port, chunk));
      });
      if (opened) options.onState?.('connected');
      opened = true;
    },
    lost: () => options.onState?.('disconnected'),
  });
  return {
    endpoint,
    get dropped() {
      return dropped;
    },
    [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator](),
    async close() {
      closed = true;
      queue.end();
      await plugged.close();
    },
  };
}

const nothing = () => {};
const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** Splits bytes into lines, without LF or CR LF; empty lines are omitted. Lines longer than `longest` bytes are split. */
export class LineSplitter {
  private rest: Buffer[] = [];
  private restBytes = 0;

  constructor(private readonly longest: number) {}

  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(lineFeed, from);
      this.keep(chunk.subarray(from, end < 0 ? chunk.length : end), lines);
      if (end < 0) return lines;
      const line = this.takeRest();
      const bare = line.at(-1) === carriageReturn ? line.subarray(0, -1) : line;
      if (bare.length > 0) lines.push(bare);
      from = end + 1;
    }
  }

  /** Discards the unfinished line. */
  reset(): void {
    this.takeRest();
  }

  private keep(piece: Buffer, lines: Buffer[]): void {
    let left = piece;
    while (this.restBytes + left.length > this.longest) {
      const part = left.subarray(0, this.longest - this.restBytes);
      left = left.subarray(part.length);
      this.rest.push(part);
      lines.push(this.takeRest());
    }
    if (left.length === 0) return;
    this.rest.push(left);
    this.restBytes += left.length;
  }

  private takeRest(): Buffer {
    const line = Buffer.concat(this.rest);
    this.rest = [];
    this.restBytes = 0;
    return line;
  }
}
