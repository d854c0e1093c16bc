import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { runCli } from '../../support/cli.js';

const connack = Buffer.from([0x20, 2, 0, 0]);
const suback = (id: number) => Buffer.from([0x90, 3, id >> 8, id & 0xff, 1]);
/** A PUBLISH packet at QoS 1, with its topic, packet id and payload. */
const publish = (topic: number[], id: number) =>
  Buffer.from([0x32, topic.length + 5, 0, topic.length, ...topic, id >> 8, id & 0xff, 0x78]);

let server: Server | undefined;
afterEach(() => server?.close());

/**
 * Starts an MQTT 3.1.1 broker that sends an invalid packet to its first subscriber and a valid message to
 * each later one.
 */
async function brokerThatSends(invalid: Buffer): Promise<string> {
  let subscriptions = 0;
  server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      const type = chunk[0]! >> 4;
      if (type === 1) socket.write(connack);
      if (type !== 8) return;
      socket.write(suback(chunk.readUInt16BE(2)));
      socket.write(++subscriptions === 1 ? invalid : publish([0x74], 1));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('an MQTT client that receives an invalid packet', () => {
  it.each([
    ['a topic that is not UTF-8', publish([0xff, 0xfe], 1), 'a string is not valid UTF-8'],
    ['a packet id of 0', publish([0x74], 0), 'a packet id is 0'],
  ])('reports %s with code, reason and next step, and reconnects', async (_, packet, reason) => {
    const url = await brokerThatSends(packet);
    const limits = ['--count', '1', '--timeout', '8s', '--format', 'raw'];
    const { code, stdout, stderr } = await runCli(['stream', 'tail', `${url}/t?version=3.1.1`, ...limits]);
    expect(stderr).toContain(
      `AIOT_BROKER_UNREACHABLE: ${url}: the broker sent an invalid MQTT packet: ${reason}\n`,
    );
    expect(stderr).toContain('Try: Find the publisher');
    expect(stderr).toContain('Connection lost. Retrying…');
    expect(stdout).toBe('x\n');
    expect(code).toBe(0);
  });
});
