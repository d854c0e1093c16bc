import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import { pushTiny } from '../support/bundle.js';
import { freePort } from '../support/free-port.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { recordAndLabel } from '../support/recording.js';

let own: TestPlatform;
afterEach(async () => {
  await own.stop();
});

async function ready(): Promise<{ code: number; status: string; checks: Record<string, string | null> }> {
  const dispatcher = new Agent({ connect: { ca: own.ca } });
  const { statusCode, body } = await request(`${own.platform.urls.http}/readyz`, {
    ...{ dispatcher, headers: { authorization: `Bearer ${own.token}` } },
  });
  const told = (await body.json()) as { status: string; checks: Record<string, string | null> };
  await dispatcher.destroy();
  return { code: statusCode, ...told };
}

describe('/readyz', () => {
  it('checks every part of the platform, and no relay if there is none', async () => {
    own = await testPlatform();
    const checks = { database: null, disk: null, blobs: null, broker: null };
    const following = { content: null, leader: null, workers: null, webhooks: null };
    expect(await ready()).toEqual({ code: 200, status: 'ready', checks: { ...checks, ...following } });
  });

  it('is degraded but still serves while the relay’s destination is unreachable', async () => {
    const port = await freePort();
    own = await testPlatform({ engines: { events: `nats://127.0.0.1:${port}` } });
    await expect.poll(ready, { timeout: 10_000 }).toMatchObject({
      code: 200,
      status: 'degraded',
      checks: { relay: expect.stringMatching(/ is unreachable: AIOT_/) },
    });
    expect((await own.client.status()).ready).toBe(true);
  });

  it('is degraded if a webhook cannot be delivered, and reports which one', async () => {
    own = await testPlatform();
    const port = await freePort();
    const { webhook } = await own.client.webhooks.add({
      ...{ url: `http://127.0.0.1:${port}/x`, types: ['data.label'], allowPrivate: true },
    });
    await recordAndLabel(own, { stream: 's', device: 'd', recording: 'r' });
    await expect.poll(ready, { timeout: 10_000 }).toMatchObject({
      code: 200,
      status: 'degraded',
      checks: { webhooks: expect.stringContaining(webhook.id) },
    });
  });

  it('is degraded if the blob of a version is missing', async () => {
    own = await testPlatform();
    await pushTiny(own.client, own.key);
    await own.platform.stop();
    await rm(join(own.folder, 'data', 'blobs', 'sha256'), { recursive: true });
    await own.restart();
    await expect.poll(ready, { timeout: 10_000 }).toMatchObject({
      code: 200,
      status: 'degraded',
      checks: { content: expect.stringContaining('1 blob missing') },
    });
  });
});
