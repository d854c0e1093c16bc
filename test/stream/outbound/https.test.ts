import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateKeyPair } from '../../../src/lib/core/crypto.js';
import { openAuthority } from '../../../src/lib/provision/authority.js';
import { certificateRequest } from '../../../src/lib/provision/certificates.js';
import { deliveriesOf, type Source } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';

let folder: string;
let ca: string;
let server: { key: string; cert: string };
let client: { key: string; cert: string };
let foreign: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-https-'));
  const authority = await openAuthority(join(folder, 'ours'), Date.now);
  const { key, certificate } = await authority.server(['127.0.0.1']);
  const own = generateKeyPair().privatePem;
  const csr = await certificateRequest(own, 'sender');
  const issued = await authority.device({ csr, name: 'sender', id: 'dev_1' });
  ca = authority.certificate;
  server = { key, cert: certificate };
  client = { key: own, cert: issued.certificate };
  foreign = (await openAuthority(join(folder, 'theirs'), Date.now)).certificate;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const message = { topic: 't', payload: Buffer.from('over TLS') };

/** Acknowledges and collects messages until the source is closed. */
function taking(source: Source): Promise<string[]> {
  return (async () => {
    const taken: string[] = [];
    for await (const { message: each, ack } of deliveriesOf(source)) {
      taken.push(Buffer.from(each.payload).toString());
      ack();
    }
    return taken;
  })();
}

describe('webhooks over TLS', () => {
  it('reach a server only if its CA is given', async () => {
    const source = await openSource('https://127.0.0.1:0/in', server);
    const taken = taking(source);
    const sink = await openSink(`${source.endpoint}/in`, { ca });
    await sink.write([message]);
    await sink.close();
    for (const options of [{}, { ca: foreign }]) {
      const stranger = await openSink(`${source.endpoint}/in`, options);
      await expect(stranger.write([message])).rejects.toMatchObject({
        code: 'AIOT_STREAM_UNREACHABLE',
        retryable: false,
        next: expect.stringContaining('--ca'),
      });
      await stranger.close();
    }
    await source.close();
    expect(await taken).toEqual(['over TLS']);
  });

  it('need a client certificate if the server specifies a CA', async () => {
    const source = await openSource('https://127.0.0.1:0/in', { ...server, ca });
    const taken = taking(source);
    const stranger = await openSink(`${source.endpoint}/in`, { ca });
    await expect(stranger.write([message])).rejects.toMatchObject({
      code: expect.stringMatching(/^AIOT_(BROKER_REFUSED|STREAM_UNREACHABLE)$/),
      next: expect.stringContaining('--cert'),
    });
    await stranger.close();
    const sink = await openSink(`${source.endpoint}/in`, { ca, ...client });
    await sink.write([message]);
    await sink.close();
    await source.close();
    expect(await taken).toEqual(['over TLS']);
  });
});
