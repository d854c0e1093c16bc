import * as z from 'zod';
import type { SampleBatch, SampleField } from '../sensor/types.js';
import type { Delivery, Source, StreamOptions } from './message.js';
import type { StreamUrl } from './url.js';

const topicPattern = z.string().min(1);

/**
 * Reads a chip on an I²C bus. Each sample becomes a message with a JSON object, `{"t":…,"ax":…,…}` with the time in ms
 * since 1970, and the chip's name as topic (or `?topic=`). All other settings are the sensor's. Samples lost by an
 * overflow of the chip's buffer count as dropped.
 * @throws AIOT_SENSOR_URL, AIOT_SENSOR_IDENTITY, AIOT_SENSOR_FAILED, AIOT_I2C_…
 */
export async function openI2cSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const { openI2c, parseSensorUrl } = await import('../sensor/index.js');
  const { topic: named, ...query } = url.query;
  const { scheme, place, endpoint } = parseSensorUrl(`i2c://${url.host}/${url.path}`);
  const { onState, signal } = options;
  const source = await openI2c(
    { scheme, place, endpoint, query },
    { ...(onState ? { onState } : {}), ...(signal ? { signal } : {}) },
  );
  const topic = topicPattern.catch(url.path).parse(named);
  let dropped = 0;
  return {
    endpoint: source.endpoint,
    get dropped() {
      return dropped;
    },
    async *[Symbol.asyncIterator]() {
      for await (const batch of source) {
        dropped += batch.lost;
        yield deliveries(batch, source.fields, topic, source.endpoint);
      }
    },
    close: () => source.close(),
  };
}

function deliveries(
  { values, times, count }: SampleBatch,
  fields: readonly SampleField[],
  topic: string,
  source: string,
): Delivery[] {
  const size = fields.length;
  return Array.from({ length: count }, (_, sample) => {
    const time = times[sample]!;
    const record: Record<string, number> = { t: Math.round(time * 1000) / 1000 };
    fields.forEach(({ name }, index) => {
      // Nine digits are enough, because a sample is a count times a sensitivity, and further digits are rounding noise.
      record[name] = Number(values[sample * size + index]!.toPrecision(9));
    });
    const payload = Buffer.from(JSON.stringify(record));
    return { message: { topic, payload, time, source }, ack: nothing, nack: nothing };
  });
}

const nothing = () => {};
