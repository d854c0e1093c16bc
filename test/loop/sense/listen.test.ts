import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { openSensing } from '../../../src/lib/loop/sense/open.js';
import type { SensingContract } from '../../../src/lib/loop/sense/types.js';
import type { Answer, Sensing } from '../../../src/lib/loop/types.js';
import { freePort } from '../../support/free-port.js';

const contract: SensingContract = {
  fields: [
    { name: 'current', unit: 'A' },
    { name: 'temperature', unit: 'degC' },
  ],
  rateHz: null,
};
let open: Sensing | undefined;
afterEach(() => open?.close());

/** Sends one message over a separate connection, and returns the response. */
function ask(port: number, text: string, half = false): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let said = '';
    socket.on('data', (chunk) => {
      said += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(said));
    // Sent in two pieces, as a network may deliver it.
    socket.write(text.slice(0, 5));
    setTimeout(() => (half ? socket.end(text.slice(5)) : socket.write(text.slice(5))), 20);
  });
}

/** Runs a loop with a model that outputs the sum of a sample's values. */
async function summing(every = 1) {
  const port = await freePort();
  const sensing = await openSensing({ sensor: `tcp://:${port}`, contract });
  open = sensing;
  const times: number[] = [];
  void (async () => {
    let seen = 0;
    for await (const { values, times: at } of sensing) {
      times.push(...at);
      if (++seen % every !== 0) continue;
      sensing.reply?.({ value: values[0]! + values[1]!, voted: null, label: null } as Answer);
    }
  })();
  return { port, times };
}

describe('the TCP inference server for a sidecar', () => {
  it('responds to one JSON message per connection in the format that the guide’s sidecar expects', async () => {
    const { port } = await summing();
    const message = '{"deviceID": "1", "current": 0.5, "temperature": 21, "fft_data": "true"}';
    expect(await ask(port, message)).toBe('inference value from the edge tpu = 21.5');
    expect(await ask(port, message.replace('"1"', '"2"'))).toBe('inference value from the edge tpu = 21.5');
  });

  it('accepts a message that ends with a newline or with a half-closed connection', async () => {
    const { port } = await summing();
    expect(await ask(port, '0.5,20\n')).toBe('inference value from the edge tpu = 20.5');
    expect(await ask(port, '0.5, 19', true)).toBe('inference value from the edge tpu = 19.5');
  });

  it('responds to many clients at the same time, each with its own prediction', async () => {
    const { port, times } = await summing();
    const all = await Promise.all(
      Array.from({ length: 60 }, (_, i) => ask(port, `{"current": ${i}, "temperature": 0.5}`)),
    );
    expect(all).toEqual(all.map((_, i) => `inference value from the edge tpu = ${i + 0.5}`));
    expect(times.length).toBe(60);
    expect([...times].sort((a, b) => a - b)).toEqual(times);
  });

  it('acknowledges a sample that completes no window, and explains why a message is rejected', async () => {
    const { port } = await summing(2);
    expect(await ask(port, '{"current": 1, "temperature": 2}')).toBe('taken');
    expect(await ask(port, '{"current": 1}')).toBe(
      'rejected: expected temperature in the message, got current',
    );
    expect(await ask(port, '{"current": 1, "temperature": 2}')).toBe('inference value from the edge tpu = 3');
    expect(await ask(port, '{"current": 1,}\n')).toMatch(/^rejected: expected JSON/);
  });

  it('closes a connection that sends too much, and continues', async () => {
    const { port } = await summing();
    // The connection is reset or closed without a response, depending on the network.
    expect(await ask(port, `{"a": "${'x'.repeat(100_000)}"`).catch(() => '')).toBe('');
    expect(await ask(port, '[1, 2]')).toBe('inference value from the edge tpu = 3');
  });

  it('responds to a new client while hundreds of others stay idle or never hang up', async () => {
    const { port } = await summing();
    const idle = Array.from({ length: 300 }, (_, i) => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {});
      if (i < 100) socket.write('[1, 2]');
      return socket;
    });
    await Promise.all(idle.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    expect(await ask(port, '[1, 2]')).toBe('inference value from the edge tpu = 3');
    for (const socket of idle) socket.destroy();
  });

  it.each(['tcp://127.0.0.1', 'tcp://:70000', 'tcp://:0', 'tcp://:9898/path'])(
    'rejects %s',
    async (sensor) => {
      await expect(openSensing({ sensor, contract })).rejects.toMatchObject({ code: 'AIOT_SENSOR_URL' });
    },
  );

  it('reports a port that is in use', async () => {
    const { port } = await summing();
    await expect(openSensing({ sensor: `tcp://:${port}`, contract })).rejects.toMatchObject({
      code: 'AIOT_PORT_IN_USE',
    });
  });
});
