import { describe, expect, it } from 'vitest';
import { openDatasetSink } from '../../../src/lib/stream/file/dataset.js';
import type { OutgoingMessage } from '../../../src/lib/stream/message.js';
import { topicAt } from '../../../src/lib/stream/route/transform.js';
import { parseStreamUrl } from '../../../src/lib/stream/url.js';

async function through(url: string, messages: OutgoingMessage[]) {
  const sent: OutgoingMessage[] = [];
  const sink = await openDatasetSink(parseStreamUrl(url), async () => ({
    endpoint: 'mqtt://x',
    write: async (batch) => void sent.push(...batch),
    close: async () => {},
  }));
  await sink.write(messages);
  await sink.close();
  return sent.map(({ topic, payload, qos }) => ({
    topic,
    qos,
    value: JSON.parse(Buffer.from(payload).toString()),
  }));
}
const message = (payload: string, more: Partial<OutgoingMessage> = {}) => ({
  topic: 'plant/7/motor',
  payload: Buffer.from(payload),
  time: 5_000,
  ...more,
});

describe('a dataset of the platform', () => {
  it.each<[string, string, OutgoingMessage, string, object]>([
    [
      "the guide's JSON, by its deviceID",
      'aiot://dataset/motor',
      message('{"deviceID": "1234", "current": 1.5}'),
      '1234',
      { t: 5_000, deviceID: '1234', current: 1.5 },
    ],
    [
      'a columnar batch with its own time',
      'aiot://dataset/motor',
      message('{"device":"d1","t":7,"rate":100,"x":[1,2]}'),
      'd1',
      { device: 'd1', t: 7, rate: 100, x: [1, 2] },
    ],
    [
      'a device named by the topic',
      'aiot://dataset/motor?device=$topic:2',
      message('{"x":1}'),
      '7',
      { t: 5_000, x: 1 },
    ],
    [
      'a device named by the key',
      'aiot://dataset/motor',
      message('{"x":1}', { key: Buffer.from('k1') }),
      'k1',
      { t: 5_000, x: 1 },
    ],
    [
      "the IoT kit's rows",
      'aiot://dataset/kit?fields=sensor,temp,hum,class&device=sensor&recording=r1',
      message('0xBC,26.31,41.2,low\0'),
      '0xBC',
      { t: 5_000, recording: 'r1', temp: 26.31, hum: 41.2, class: 'low' },
    ],
  ])('accepts %s', async (_, url, given, device, value) => {
    const name = url.includes('kit') ? 'kit' : 'motor';
    expect(await through(url, [given])).toEqual([
      { topic: `aiot/v1/${device}/telemetry/${name}`, qos: 1, value },
    ]);
  });

  it.each<[string, string, RegExp]>([
    ['a payload without numbers', '{"device":"d","x":"y"}', /no numeric columns/],
    ['a payload without a device', '{"x":1}', /does not name its device.* got none/],
    ['an invalid device name', '{"device":"a/b","x":1}', /got "a\/b"/],
    ['columns of different lengths', '{"device":"d","x":[1],"y":[1,2]}', /different lengths/],
    ['a seq that is not a number', '{"device":"d","x":1,"seq":"1"}', /"seq"/],
    ['text without column names', '1,2', /without names/],
  ])('rejects %s', async (_, payload, why) => {
    await expect(through('aiot://dataset/motor', [message(payload)])).rejects.toMatchObject({
      code: 'AIOT_STREAM_UNFIT',
      message: expect.stringMatching(why),
    });
  });

  it('keeps the topic of each message, which may contain the device’s name', () => {
    expect(topicAt('aiot://dataset/motor')({ topic: 'plant/7', source: 'mqtt://x' })).toBe('plant/7');
    expect(topicAt('aiot://stream/motor')({ topic: 'plant/7', source: 'mqtt://x' })).toBe('');
  });

  it('is rejected with an invalid name', async () => {
    await expect(through('aiot://dataset/a/b', [])).rejects.toMatchObject({ code: 'AIOT_STREAM_URL' });
  });
});
