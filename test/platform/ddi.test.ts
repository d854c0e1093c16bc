import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anyBundle, clientOf, type DdiClient, ddiClient, pushBundle, rollOut } from '../support/ddi.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';
import { rolloutEnd, rolloutNow } from '../support/rollout.js';

let own: TestPlatform;
let count = 0;
beforeAll(async () => {
  own = await testPlatform({ ddiPollMs: 90_000 });
});
afterAll(() => own.stop());

/** Creates a device, and a release that is rolled out to it. */
async function offered(content = anyBundle()) {
  const device = await ddiClient(own, `gw-${++count}`);
  const release = await pushBundle(own, `image-${count}`, content);
  const rollout = await rollOut(own, release, `name=${device.name}`);
  return { device, release, rollout, id: await device.offered() };
}

const stateIn = async (rollout: string, { name }: DdiClient) =>
  (await rolloutNow(own.client, rollout)).devices.find((device) => device.name === name);

describe('the poll', () => {
  it('returns the polling interval, and requests attributes at first', async () => {
    const device = await ddiClient(own, 'fresh');
    const { headers, status, text } = await device.call('');
    expect(status).toBe(200);
    expect(headers['content-type']).toContain('application/hal+json');
    expect(headers['content-length']).toBe(String(Buffer.byteLength(text)));
    const { config, _links } = JSON.parse(text);
    expect(config).toEqual({ polling: { sleep: '00:01:30' } });
    expect(Object.keys(_links)).toEqual(['configData']);
    expect(_links.configData.href).toMatch(/^https:\/\/[^/]+\/DEFAULT\/controller\/v1\/fresh\/configData$/);
    expect((await own.client.devices.get('fresh')).online).toBe(true);
  });

  it('matches the tenant name case-insensitively, and rejects other tenants', async () => {
    const device = await ddiClient(own, 'cased');
    const headers = { authorization: `TargetToken ${device.secret}` };
    const status = async (tenant: string) =>
      (await ask(own, `/${tenant}/controller/v1/cased`, { token: '', headers })).status;
    expect(await status('DEFAULT')).toBe(200);
    expect(await status('Default')).toBe(200);
    expect(await status('other')).toBe(401);
  });
});

describe('a deployment', () => {
  it('is described with everything that each client needs', async () => {
    const content = anyBundle('described');
    const { device, release, id } = await offered(content);
    expect(id).toBeGreaterThan(1000);
    const body = JSON.parse((await device.call(`/deploymentBase/${id}`)).text);
    const hash = (name: string) => createHash(name).update(content).digest('hex');
    expect(body.id).toBe(String(id));
    expect(body.deployment).toMatchObject({ download: 'forced', update: 'forced' });
    const [chunk, ...more] = body.deployment.chunks;
    expect(more).toEqual([]);
    expect(chunk).toMatchObject({ part: 'os', version: '1', name: release.name });
    const [artifact] = chunk.artifacts;
    expect(artifact).toMatchObject({ filename: `${release.name}-1.swu`, size: content.length });
    expect(artifact.hashes).toEqual({ sha1: hash('sha1'), md5: hash('md5'), sha256: hash('sha256') });
    expect(Object.keys(artifact._links).sort()).toEqual([
      'download',
      'download-http',
      'md5sum',
      'md5sum-http',
    ]);
    expect(artifact._links['download-http'].href).toBe(artifact._links.download.href);
  });

  it('is tracked by its rollout as the client progresses', async () => {
    const { device, rollout, id } = await offered();
    const base = `/deploymentBase/${id}`;
    expect((await stateIn(rollout.id, device))?.state).toBe('offered');
    await device.call(base);
    expect(await stateIn(rollout.id, device)).toMatchObject({ state: 'offered', step: 'IDLE' });
    expect(await device.say(`${base}/feedback`, 'proceeding')).toBe(200);
    expect(await stateIn(rollout.id, device)).toMatchObject({ state: 'updating', step: 'DOWNLOADING' });
    expect(await device.say(`${base}/feedback`, 'downloaded')).toBe(200);
    // Clients may report progress in any order, but the recorded progress never goes back.
    expect(await device.say(`${base}/feedback`, 'proceeding')).toBe(200);
    expect(await stateIn(rollout.id, device)).toMatchObject({ state: 'updating', step: 'VERIFYING' });
    expect(await device.say(`${base}/feedback`, 'closed', 'success', 'Update Installed.')).toBe(200);
    expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({ state: 'done' });
    expect(await own.client.devices.get(device.name)).toMatchObject({
      firmware: '1',
      updateState: 'COMMITTED',
    });
    expect(await device.offered()).toBe(0);
    expect(await device.offered('installedBase')).toBe(id);
    expect((await device.call(`/installedBase/${id}`)).status).toBe(200);
    // The device's attributes may have changed, so they are requested again.
    expect((await device.poll())._links.configData).toBeDefined();
  });

  it('handles duplicate and late feedback as hawkBit does', async () => {
    const { device, rollout, id } = await offered();
    const feedback = `/deploymentBase/${id}/feedback`;
    expect(await device.say(feedback, 'closed', 'success')).toBe(200);
    expect(await device.say(feedback, 'closed', 'success')).toBe(410);
    expect(await device.say(feedback, 'closed', 'failure')).toBe(410);
    expect(await device.say(feedback, 'proceeding')).toBe(410);
    expect(await stateIn(rollout.id, device)).toMatchObject({ state: 'committed' });
    // Late feedback on the old version does not affect the next one.
    const next = await rollOut(
      own,
      await pushBundle(own, `image-${count}`, anyBundle('v2')),
      `name=${device.name}`,
    );
    const second = await device.offered();
    expect(second).toBeGreaterThan(id);
    expect(await device.say(feedback, 'closed', 'success')).toBe(410);
    expect((await stateIn(next.id, device))?.state).toBe('offered');
  });

  it('reports the reason if it fails', async () => {
    const { device, rollout, id } = await offered();
    const said = ['Image invalid or corrupted.', 'No suitable .swu image found'];
    expect(await device.say(`/deploymentBase/${id}/feedback`, 'closed', 'failure', ...said)).toBe(200);
    const ended = await rolloutEnd(own.client, rollout.id);
    expect(ended.devices[0]).toMatchObject({
      state: 'failed',
      error: { code: 'AIOT_DDI_FAILED', message: said[1] },
    });
    expect(await device.offered()).toBe(0);
  });

  it('counts as failed if the client skipped it, even if it reports success', async () => {
    const { device, rollout, id } = await offered();
    await device.say(`/deploymentBase/${id}/feedback`, 'closed', 'success', 'Skipped Update.');
    expect((await rolloutEnd(own.client, rollout.id)).devices[0]?.state).toBe('failed');
  });

  it('is downloaded with Range and HEAD, and only by its own device', async () => {
    const content = anyBundle('0123456789');
    const { device, rollout, id } = await offered(content);
    const body = JSON.parse((await device.call(`/deploymentBase/${id}`)).text);
    const { href } = body.deployment.chunks[0].artifacts[0]._links.download;
    const path = new URL(href).pathname.replace(/^.*\/v1\/[^/]+/, '');
    const head = await device.call(path, { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, text: '' });
    expect(head.headers).toMatchObject({
      'content-length': String(content.length),
      'accept-ranges': 'bytes',
    });
    expect((await stateIn(rollout.id, device))?.state).toBe('offered');
    const part = await device.call(path, { headers: { range: 'bytes=100-' } });
    expect(part).toMatchObject({ status: 206, text: content.subarray(100).toString() });
    expect(part.headers['content-range']).toBe(`bytes 100-${content.length - 1}/${content.length}`);
    const beyond = await device.call(path, { headers: { range: 'bytes=999999-' } });
    expect(beyond.status).toBe(416);
    const other = { range: 'bytes=1-', 'if-range': '"other"' };
    expect((await device.call(path, { headers: other })).status).toBe(200);
    expect((await device.call(path, { headers: { 'if-match': '"other"' } })).status).toBe(412);
    expect((await device.call(path)).text).toBe(content.toString());
    expect((await stateIn(rollout.id, device))?.state).toBe('updating');
    const md5 = createHash('md5').update(content).digest('hex');
    expect((await device.call(`${path}.MD5SUM`)).text).toBe(`${md5}  image-${count}-1.swu`);
    const stranger = await ddiClient(own, `stranger-${count}`);
    expect((await stranger.call(path)).status).toBe(404);
    expect((await device.call(path, { authorization: null })).status).toBe(401);
  });
});

describe('access', () => {
  it('is limited to a device’s own path', async () => {
    const { device, id } = await offered();
    const other = await ddiClient(own, 'other-1');
    const wrong = [null, 'TargetToken wrong', `TargetToken ${other.secret}`, `targettoken ${device.secret}`];
    for (const authorization of [...wrong, `Bearer ${own.token}`, `GatewayToken ${own.token}`]) {
      for (const path of ['', `/deploymentBase/${id}`]) {
        const { status, text } = await device.call(path, { authorization });
        expect([authorization, status, text]).toEqual([authorization, 401, '']);
      }
    }
    expect((await other.call(`/deploymentBase/${id}`)).status).toBe(404);
    expect(await other.say(`/deploymentBase/${id}/feedback`, 'closed', 'success')).toBe(404);
    expect((await clientOf(own, 'nobody', device.secret).call('')).status).toBe(401);
    await own.client.devices.act(device.name, 'suspend');
    expect((await device.call('')).status).toBe(401);
  });
});
