import type { SerialPort } from 'serialport';
import type { Delivery, Source } from '../message.js';
import type { StreamOptions } from '../options.js';
import { createQueue, defaultQueue } from '../queue.js';
import type { StreamUrl } from '../url.js';
import { LineSplitter } from './lines.js';
import { keepPlugged } from './plugged.js';
import { serialSettings } from './settings.js';

/**
 * The lines that come from a serial port, each a message under the port's name. A port that is unplugged is opened again when it is
 * back; a line that was cut off by that is left out. With `overflow: 'wait'` the port is not read from while there is no room: with
 * `rtscts` the far side then waits, without it the system's buffer (4 KiB on Linux) is all there is.
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
      // One chunk after the other, in their order, also while one waits for room.
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
