import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal, python } from '../support/real.js';

let own: TestPlatform;
const content = randomBytes(20_000_000);
const digest = digestOf(content);

beforeAll(async () => {
  own = await testPlatform();
}, 30_000);
afterAll(() => own.stop());

const stored = async (of: string) => (await own.client.blobs.get(of)).bytes();

/** A proxy to the platform that breaks a connection after `bytes` bytes, `breaks` times in total. */
async function brittleWire(
  bytes: number,
  breaks: number,
): Promise<{ port: number; broken: () => number; server: Server }> {
  let broken = 0;
  const { port: to, hostname } = new URL(own.platform.urls.http);
  const server = createServer((near: Socket) => {
    const far = connect(Number(to), hostname);
    let passed = 0;
    near.on('data', (chunk) => {
      passed += chunk.length;
      if (passed > bytes && broken < breaks) {
        broken++;
        near.destroy();
        far.destroy();
      }
    });
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return { server, port: typeof address === 'object' ? (address?.port ?? 0) : 0, broken: () => broken };
}

describe('a large blob', () => {
  it('is uploaded by the aiot client over a connection that breaks repeatedly', async () => {
    const { server, port, broken } = await brittleWire(5_000_000, 3);
    const client = createClient({ url: `https://127.0.0.1:${port}`, ca: own.ca, token: own.token });
    expect(await client.blobs.put(digest, content)).toEqual({ digest, bytes: content.length });
    expect(broken()).toBe(3);
    expect((await stored(digest)).equals(content)).toBe(true);
    await client.close();
    server.close();
  }, 30_000);

  it('is uploaded by tus-js-client, which resumes where it stopped', async () => {
    const { Upload, DefaultHttpStack } = await import('tus-js-client');
    const { Agent } = await import('node:https');
    const bytes = randomBytes(3_000_000);
    const { server, port, broken } = await brittleWire(1_000_000, 2);
    await new Promise<void>((resolve, reject) => {
      new Upload(bytes, {
        endpoint: `https://127.0.0.1:${port}/api/v1/uploads`,
        httpStack: new DefaultHttpStack({ agent: new Agent({ ca: own.ca }) }),
        headers: { authorization: `Bearer ${own.token}` },
        metadata: { digest: digestOf(bytes) },
        retryDelays: [50, 100, 200, 400],
        onSuccess: () => resolve(),
        onError: reject,
      }).start();
    });
    expect(broken()).toBe(2);
    expect((await stored(digestOf(bytes))).equals(bytes)).toBe(true);
    server.close();
  }, 30_000);
});

describeReal('platform', 'PyPI’s tuspy', () => {
  it('uploads in chunks with checksums, and resumes by URL', async () => {
    const bytes = randomBytes(2_500_000);
    const file = join(own.folder, 'tuspy.bin');
    await writeFile(file, bytes);
    const script = `
import os
from tusclient import client
c = client.TusClient(os.environ['ENDPOINT'], headers={'Authorization': 'Bearer ' + os.environ['TOKEN']})
kwargs = dict(chunk_size=1_000_000, metadata={'digest': os.environ['DIGEST']}, upload_checksum=True)
u = c.uploader(os.environ['FILE'], **kwargs)
u.upload_chunk()
again = c.uploader(os.environ['FILE'], url=u.url, **kwargs)
assert again.get_offset() == 1_000_000, again.get_offset()
again.upload()
print(again.get_offset())
`;
    const env = {
      ...process.env,
      ENDPOINT: `${own.platform.urls.http}/api/v1/uploads`,
      ...{ TOKEN: own.token, DIGEST: digestOf(bytes), REQUESTS_CA_BUNDLE: own.platform.ca, FILE: file },
    };
    const { stdout } = await promisify(execFile)(python('platform'), ['-c', script], { env });
    expect(stdout.trim()).toBe('2500000');
    expect((await stored(digestOf(bytes))).equals(bytes)).toBe(true);
    await rm(file);
  }, 30_000);
});
