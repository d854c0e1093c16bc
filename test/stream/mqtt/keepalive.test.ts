import { PassThrough } from 'node:stream';
import type { MqttClient } from 'mqtt';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { takePackets, type Wire } from '../../../src/lib/stream/mqtt/connection.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** An MQTT 3.1.1 CONNACK, and a PUBLISH at QoS 0 to `t`. */
const connack = Buffer.from([0x20, 2, 0, 0]);
const publish = Buffer.from([0x30, 4, 0, 1, 0x74, 0x78]);

/** Opens a connection whose outbox is full, and records the times of its pings in seconds. */
async function heldConnection(keepalive: number) {
  const socket = new PassThrough();
  const pings: number[] = [];
  const began = performance.now();
  let wire: Wire | undefined;
  const client = {
    keepalive,
    options: {},
    streamBuilder: () => socket,
    connect: () => {},
    sendPing: () => pings.push((performance.now() - began) / 1000),
    reschedulePing: () => {},
  };
  takePackets(client as unknown as MqttClient, 4, {
    opened(opened) {
      wire = opened;
    },
    packet: () => 'later',
    closed() {},
  });
  const stream = (client.streamBuilder as unknown as (self: unknown) => { destroy(): void })(client);
  socket.write(Buffer.concat([connack, publish]));
  await vi.waitFor(() => expect(wire).toBeDefined(), 20_000);
  return { pings, stream, release: () => wire?.release() };
}

// mqtt.js closes a connection 1.5 keep-alives after the last packet it sent, and so may the broker.
it.each([5, 60])(
  'an MQTT client pings on a blocked connection well within a keep-alive of %i s',
  async (keepalive) => {
    const { pings, stream } = await heldConnection(keepalive);
    vi.advanceTimersByTime(keepalive * 4000);
    const gaps = pings.map((at, index) => at - (pings[index - 1] ?? 0));
    expect(pings.length).toBeGreaterThan(8);
    expect(Math.max(...gaps)).toBeLessThan(keepalive / 2);
    stream.destroy();
  },
);

it('an MQTT client pings on a connection that is repeatedly blocked for short times', async () => {
  const { pings, stream, release } = await heldConnection(5);
  for (let moment = 0; moment < 40; moment++) {
    vi.advanceTimersByTime(500);
    // The same packet is offered again, and there is still no room.
    release();
  }
  const gaps = pings.map((at, index) => at - (pings[index - 1] ?? 0));
  expect(pings.length).toBeGreaterThan(6);
  expect(Math.max(...gaps)).toBeLessThan(2.5);
  stream.destroy();
});

it('an MQTT client sends no pings if keep-alives are off', async () => {
  const { pings, stream } = await heldConnection(0);
  vi.advanceTimersByTime(120_000);
  expect(pings).toEqual([]);
  stream.destroy();
});
