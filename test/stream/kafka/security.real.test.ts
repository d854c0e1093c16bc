import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { deliveriesOf, type StreamOptions } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { type KafkaBroker, startKafka } from '../../support/kafka.js';
import { describeReal } from '../../support/real.js';

let folder: string;
let broker: KafkaBroker;
let ca: string;
let client: { cert: string; key: string };

/** Uses openssl to create a CA, and certificates signed by it for 127.0.0.1 and for a client. */
async function makeCertificates(): Promise<void> {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const request = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(...request, '-x509', '-days', '2', '-subj', '/CN=test ca', '-keyout', 'ca.key', '-out', 'ca.pem');
  await writeFile(join(folder, 'san'), 'subjectAltName=IP:127.0.0.1');
  for (const name of ['server', 'client']) {
    openssl(...request, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-days', '2', '-extfile', 'san', '-out', `${name}.pem`],
    );
  }
  const text = (name: string) => readFile(join(folder, name), 'utf8');
  await writeFile(join(folder, 'keystore.pem'), `${await text('server.key')}${await text('server.pem')}`);
  ca = await text('ca.pem');
  client = { cert: await text('client.pem'), key: await text('client.key') };
}

/** Writes one message and reads it back. */
async function roundTrip(url: string, options: StreamOptions): Promise<string> {
  const sink = await openSink(url, options);
  await sink.write([{ topic: '', payload: Buffer.from('let in') }]);
  await sink.close();
  const source = await openSource(`${url}?from=beginning&until=end`, options);
  let text = '';
  for await (const { message } of deliveriesOf(source)) text = Buffer.from(message.payload).toString();
  await source.close();
  return text;
}

describeReal('kafka', 'Kafka with authentication', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-kafka-tls-'));
    await makeCertificates();
    const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_ana="right:pass";';
    const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
    broker = await startKafka({
      listeners: ['SASL_PLAINTEXT', 'SSL', 'SASL_SSL'],
      format: [
        '--add-scram',
        'SCRAM-SHA-256=[name=ana,password=right:pass]',
        '--add-scram',
        'SCRAM-SHA-512=[name=ana,password=right:pass]',
      ],
      properties: [
        'sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
        ...['sasl_plaintext', 'sasl_ssl'].flatMap((name) => [
          `listener.name.${name}.plain.sasl.jaas.config=${plain}`,
          `listener.name.${name}.scram-sha-256.sasl.jaas.config=${scram}`,
          `listener.name.${name}.scram-sha-512.sasl.jaas.config=${scram}`,
        ]),
        'ssl.keystore.type=PEM',
        `ssl.keystore.location=${join(folder, 'keystore.pem')}`,
        'ssl.truststore.type=PEM',
        `ssl.truststore.location=${join(folder, 'ca.pem')}`,
        'listener.name.ssl.ssl.client.auth=required',
      ],
    });
  }, 60_000);
  afterAll(async () => {
    await broker?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)(
    'accepts SASL %s, with and without TLS',
    async (sasl) => {
      const who = { username: 'ana', password: 'right:pass', sasl };
      expect(await roundTrip(`kafka://${broker.listeners.SASL_PLAINTEXT}/${sasl}`, who)).toBe('let in');
      expect(await roundTrip(`kafkas://${broker.listeners.SASL_SSL}/${sasl}-tls`, { ...who, ca })).toBe(
        'let in',
      );
    },
  );

  it('accepts user, password and mechanism from the address', async () => {
    const sink = await openSink(
      `kafka://ana:right%3Apass@${broker.listeners.SASL_PLAINTEXT}/from-address?sasl=scram-sha-256`,
    );
    await sink.write([{ topic: '', payload: Buffer.from('x') }]);
    await sink.close();
    expect(sink.endpoint).toBe(`kafka://${broker.listeners.SASL_PLAINTEXT}`);
  });

  it('accepts a client certificate', async () => {
    expect(await roundTrip(`kafkas://${broker.listeners.SSL}/mtls`, { ca, ...client })).toBe('let in');
  });

  it.each(['plain', 'scram-sha-512'] as const)(
    'rejects a wrong password with SASL %s, and never repeats it',
    async (sasl) => {
      const who = { username: 'ana', password: 'wrong-pass', sasl };
      const refused = openSource(`kafka://${broker.listeners.SASL_PLAINTEXT}/t`, who);
      await expect(refused).rejects.toMatchObject({ code: 'AIOT_BROKER_REFUSED' });
      const error = await refused.catch((thrown: Error) => thrown);
      expect(JSON.stringify(error) + String((error as Error).message)).not.toContain('wrong-pass');
    },
  );

  it('is rejected if its certificate is from an unknown CA, and the error suggests --ca', async () => {
    await expect(openSource(`kafkas://${broker.listeners.SSL}/t`, client)).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
      retryable: false,
      next: expect.stringContaining('--ca'),
    });
  });

  it('rejects a client without a certificate', async () => {
    await expect(openSource(`kafkas://${broker.listeners.SSL}/t`, { ca })).rejects.toMatchObject({
      code: expect.stringMatching(/AIOT_BROKER_(REFUSED|UNREACHABLE)/),
    });
  });
});
