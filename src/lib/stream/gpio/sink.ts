import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import type { OutgoingMessage, Sink } from '../message.js';
import { labelOf } from '../outbound/label.js';
import { readQuery } from '../query.js';
import type { StreamUrl } from '../url.js';
import { openGpioLine } from './line.js';

const shape = {
  /** Labels at which the line is active, with commas; at any other it is not. Without: 1, on, true and active. */
  on: z.string().min(1).optional(),
  /** Level of an active line; default high. */
  active: z.enum(['high', 'low']).optional(),
};

const switchedOn = new Set(['1', 'on', 'true', 'active']);

/**
 * `gpio://gpiochip0/17?on=walking`: a line of a GPIO chip that is active while the label is that one. Of several messages at once
 * only the last one counts. The line is let go when the sink is closed.
 * @throws AIOT_STREAM_URL, AIOT_PROGRAM_NOT_FOUND, AIOT_PROGRAM_FAILED (no such line, taken, not allowed)
 */
export async function openGpioSink(url: StreamUrl): Promise<Sink> {
  const { on, active = 'high' } = readQuery(url, shape);
  const labels = on === undefined ? switchedOn : new Set(on.split(','));
  const [, chip, offset] = /^([\w.-]+)\/(\d{1,4})$/.exec(`${url.host}/${url.path}`) ?? [];
  if (chip === undefined || offset === undefined) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected gpio://CHIP/LINE, such as gpio://gpiochip0/17`,
    );
  }
  const endpoint = `gpio://${chip}/${offset}`;
  const line = await openGpioLine({ chip, offset: Number(offset), activeLow: active === 'low', endpoint });
  try {
    await line.set(false);
  } catch (error) {
    await line.close();
    throw error;
  }
  let last: Promise<void> = Promise.resolve();
  return {
    endpoint,
    write(messages) {
      const level = levelOf(messages, labels);
      const written = last.then(() => (level === undefined ? undefined : line.set(level)));
      last = written.catch(() => {});
      return written;
    },
    async close() {
      await last;
      await line.close();
    },
  };
}

/** Of the last one that has a label; undefined where none has. */
function levelOf(messages: readonly OutgoingMessage[], labels: ReadonlySet<string>): boolean | undefined {
  const label = messages.map(({ payload }) => labelOf(payload)).findLast((found) => found !== undefined);
  return label === undefined ? undefined : labels.has(label);
}
