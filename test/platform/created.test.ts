import { channel } from 'node:diagnostics_channel';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pieceBytes } from '../../src/lib/api/blobs.js';
import { pushConfig } from '../../src/lib/api/config/push.js';
import { pushFirmware } from '../../src/lib/api/firmware/push.js';
import { digestOf, generateKeyPair } from '../../src/lib/core/crypto.js';
import { newId } from '../../src/lib/core/names.js';
import { peekManifest, signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { pushTiny } from '../support/bundle.js';
import { appMagic, espImage } from '../support/esp-image.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';
import { oneWave } from '../support/rollout.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

/**
 * Returns every 201 response that the client receives during `work`, with its request, such as `POST /api/v1/…`, and its
 * Location.
 */
async function heard(work: () => Promise<unknown>): Promise<{ asked: string; location: string }[]> {
  const found: { asked: string; location: string }[] = [];
  const answers = channel('undici:request:headers');
  const hear = (message: unknown) => {
    const { request, response } = message as {
      request: { method: string; path: string };
      response: { statusCode: number; headers: Buffer[] };
    };
    if (response.statusCode !== 201) return;
    const headers = response.headers.map(String);
    const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'location');
    found.push({ asked: `${request.method} ${request.path}`, location: headers[at + 1] ?? '' });
  };
  answers.subscribe(hear);
  try {
    await work();
  } finally {
    answers.unsubscribe(hear);
  }
  return found;
}

/** Creates one of each resource that the API can create. */
async function makeAll() {
  const { client, key } = own;
  const csr = (name: string) => certificateRequest(generateKeyPair().privatePem, name);
  await client.users.add({ name: 'ada', role: 'viewer' });
  const { id } = await client.tokens.create({ name: 'hers', owner: 'ada' });
  await client.tokens.rotate(id, 0);
  await client.webhooks.add({ url: 'https://hooks.example/a' });
  await client.alarms.create({ name: 'hot', where: 'temperature > 80' });
  await client.jobs.create({ kind: 'blob.sweep' });
  await client.devices.provision('dev', 'virtual', await csr('dev'));
  await client.devices.rotate('dev', await csr('dev'), true);
  await client.devices.replace('dev', await csr('dev'));
  await client.secrets.make('dev');
  const claim = await client.claims.make({ name: 'claimed', type: 'virtual' });
  await client.claims.redeem(claim.token, await csr('claimed'));
  await client.batches.create({ name: 'july', type: 'virtual' });
  const large = Buffer.alloc(pieceBytes + 1);
  await client.blobs.put(digestOf(large), large);
  const card = await pushTiny(client, key);
  const manifest = peekManifest(await client.manifests.get(card.sequence));
  const { sequence } = await client.models.next('tiny');
  await client.manifests.post(signManifest({ ...manifest, sequence }, key));
  const steps = [{ name: 'train', about: 'trains', needs: [], gate: null }];
  await client.pipelineRunners.put(newId('runner'), { name: 'lab', project: 'mill', aiot: '0.1.0', steps });
  await client.pipelineRequests.create({ project: 'mill' });
  await client.modelFiles.add(card.digest, { action: 'store' });
  await client.rollouts.start(oneWave({ name: 'tiny', version: 1, sequence }));
  const path = join(own.folder, 'app.bin');
  await writeFile(path, espImage({ starts: appMagic }));
  await pushFirmware({ client, path, name: 'app', deviceTypes: ['esp32'], privatePem: key });
  const config = join(own.folder, 'slow.json');
  await writeFile(config, '{"spec":"aiot-config/1","sampleHz":10}');
  await pushConfig({ client, path: config, name: 'slow', deviceTypes: ['esp32'], privatePem: key });
}

it('every 201 response names the created resource in Location, as the API description declares', async () => {
  const { paths } = JSON.parse((await ask(own, '/openapi.json')).text) as {
    paths: Record<string, Record<string, { responses: Record<string, { headers?: object }> }>>;
  };
  const declared = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, { responses }]) =>
      responses['201']
        ? [{ asked: `${method.toUpperCase()} ${path}`, headers: responses['201'].headers }]
        : [],
    ),
  );
  for (const { asked, headers } of declared) {
    expect(headers, asked).toMatchObject({
      Location: { required: true, schema: { format: 'uri-reference' } },
    });
  }
  const made = await heard(makeAll);
  for (const { asked, location } of made) {
    expect(location, asked).toMatch(/^\/api\/v1\/./);
    const method = location.includes('/uploads/') || location.includes('/blobs/') ? 'HEAD' : 'GET';
    const headers = { 'tus-resumable': '1.0.0' };
    expect((await ask(own, location, { method, headers })).status, location).toBe(200);
  }
  const patterns = declared.map(({ asked }) => ({
    asked,
    pattern: new RegExp(`^${asked.replace(/\{[^}]+\}/g, '[^/]+')}$`),
  }));
  const untried = patterns.filter(({ pattern }) => !made.some(({ asked }) => pattern.test(asked)));
  expect(untried.map(({ asked }) => asked)).toEqual([]);
});

it('a token is shown to its owner and to operators, without its secret', async () => {
  const made = await own.client.tokens.create({ name: 'read', role: 'viewer' });
  const other = await own.client.tokens.create({ name: 'other', role: 'viewer' });
  await own.client.users.add({ name: 'bob', role: 'viewer' });
  const his = await own.client.tokens.create({ name: 'his', owner: 'bob' });
  const read = (token: string) => ask(own, `/api/v1/tokens/${made.id}`, { token });
  const [operator, peer, stranger] = [await read(own.token), await read(other.token), await read(his.token)];
  expect([operator.status, peer.status, stranger.status]).toEqual([200, 200, 403]);
  expect(JSON.parse(stranger.text).code).toBe('AIOT_NOT_ALLOWED');
  expect(JSON.parse(operator.text)).toMatchObject({ id: made.id, name: 'read' });
  expect(operator.text).not.toContain(made.token);
});
