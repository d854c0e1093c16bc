import { afterAll, beforeAll, expect, it } from 'vitest';
import { deliveriesOf } from '../../../src/lib/stream/message.js';
import { brokerError } from '../../../src/lib/stream/mqtt/connect.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { type Certificates, makeCertificates } from '../../support/certificates.js';
import { runCli } from '../../support/cli.js';
import { freePort } from '../../support/free-port.js';
import { listening, type Mosquitto, startMosquitto } from '../../support/mosquitto.js';
import { describeReal } from '../../support/real.js';

describeReal('openssl', 'certificates for brokers', () => {
  describeReal('mosquitto', 'a real Mosquitto that requires a client certificate', () => {
    let certificates: Certificates;
    let broker: Mosquitto;
    let url: string;
    beforeAll(async () => {
      certificates = await makeCertificates();
      const port = await freePort();
      broker = await startMosquitto({
        settings: [
          `listener ${port} 127.0.0.1`,
          `cafile ${certificates.path('ca.crt')}`,
          `certfile ${certificates.path('server.crt')}`,
          `keyfile ${certificates.path('server.key')}`,
          'require_certificate true',
        ],
      });
      await listening(port);
      url = `mqtts://127.0.0.1:${port}/t`;
    }, 30_000);
    afterAll(async () => {
      await broker?.stop();
      await certificates?.remove();
    });
    const identity = async (name: string, ca = 'ca') => ({
      ca: await certificates.read(`${ca}.crt`),
      cert: await certificates.read(`${name}.crt`),
      key: await certificates.read(`${name}.key`),
    });

    it.each([0, 1, 2])('carries messages in order at QoS %i', async (qos) => {
      const options = await identity('client');
      const source = await openSource(`${url}?qos=${qos}`, options);
      const sink = await openSink(`${url}?qos=${qos}`, options);
      // More than fits into one TLS record (16 KiB).
      const sent = Array.from({ length: 200 }, (_, index) => `${index} ${'x'.repeat(index * 10)}`);
      await sink.write(sent.map((text) => ({ topic: 't', payload: Buffer.from(text) })));
      const taken: string[] = [];
      for await (const { message, ack } of deliveriesOf(source)) {
        ack();
        if (taken.push(String(message.payload)) === sent.length) break;
      }
      expect(taken).toEqual(sent);
      await sink.close();
      await source.close();
    });

    it('continues over a new connection after a restart', async () => {
      const sink = await openSink(url, await identity('client'));
      await broker.restart();
      await sink.write([{ topic: 't', payload: Buffer.from('after') }]);
      await sink.close();
    }, 20_000);

    it('is rejected if the wrong CA is configured, and the error suggests --ca', async () => {
      await expect(openSource(url, await identity('client', 'other'))).rejects.toMatchObject({
        code: 'AIOT_BROKER_UNREACHABLE',
        retryable: false,
        message: expect.stringMatching(/certificate/),
        next: expect.stringContaining('--ca FILE'),
      });
    });

    it('rejects clients without a certificate, and the error suggests --cert and --key', async () => {
      const ca = await certificates.read('ca.crt');
      await expect(openSource(url, { ca })).rejects.toMatchObject({
        code: 'AIOT_BROKER_REFUSED',
        message: expect.stringContaining('requires a client certificate'),
        next: expect.stringContaining('--cert FILE --key FILE'),
      });
    });

    it('rejects clients without a certificate over TLS 1.2, too', async () => {
      const { connect } = await import('node:tls');
      const { port } = new URL(url);
      const ca = await certificates.read('ca.crt');
      const error = await new Promise((resolve) => {
        connect({ host: '127.0.0.1', port: Number(port), ca, maxVersion: 'TLSv1.2' }).on('error', resolve);
      });
      expect(brokerError(error, url)).toMatchObject({
        code: 'AIOT_BROKER_REFUSED',
        next: expect.stringContaining('--cert FILE --key FILE'),
      });
    });

    it('rejects a certificate from an unknown CA', async () => {
      await expect(openSource(url, await identity('stranger'))).rejects.toMatchObject({
        code: 'AIOT_BROKER_REFUSED',
        message: expect.stringContaining('does not know the CA of our client certificate'),
      });
    });

    it('can be written to and read from with the command-line flags', async () => {
      const flags = ['ca', 'client'].flatMap((name) =>
        name === 'ca'
          ? ['--ca', certificates.path('ca.crt')]
          : ['--cert', certificates.path('client.crt'), '--key', certificates.path('client.key')],
      );
      const published = await runCli(['stream', 'publish', url, '{"x":1}', '--retain', ...flags]);
      expect(published.code).toBe(0);
      const read = await runCli(['stream', 'tail', url, '--count', '1', '--json', ...flags]);
      expect(JSON.parse(read.stdout)).toMatchObject({ payload: { x: 1 }, retain: true });
      const without = await runCli(['stream', 'publish', url, 'x', ...flags.slice(0, 2)]);
      expect(without.code).not.toBe(0);
      expect(without.stderr).toContain('--cert FILE --key FILE');
    }, 30_000);
  });
});
