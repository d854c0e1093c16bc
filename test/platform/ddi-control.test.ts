import { Agent } from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { anyBundle, clientOf, type DdiClient, ddiClient, pushBundle, rollOut } from '../support/ddi.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';
import { rolloutEnd, rolloutNow } from '../support/rollout.js';

let own: TestPlatform;
let count = 0;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

async function offered() {
  const device = await ddiClient(own, `gw-${++count}`);
  const release = await pushBundle(own, `image-${count}`, anyBundle());
  const rollout = await rollOut(own, release, `name=${device.name}`);
  return { device, rollout, id: await device.offered() };
}

/** Starts an action on the client, and then recalls it. */
async function recalled() {
  const found = await offered();
  await found.device.call(`/deploymentBase/${found.id}`);
  await found.device.say(`/deploymentBase/${found.id}/feedback`, 'proceeding');
  await own.client.rollouts.command(found.rollout.id, 'abort');
  expect(await found.device.offered('cancelAction')).toBe(found.id);
  return found;
}

const stateOf = async (rollout: string) => (await rolloutNow(own.client, rollout)).devices[0]?.state;
const tagsOf = async (name: string) => (await own.client.devices.get(name)).tags;

describe('a cancellation', () => {
  it('is requested, and ends the action when the client agrees', async () => {
    const { device, rollout, id } = await recalled();
    const stop = JSON.parse((await device.call(`/cancelAction/${id}`)).text);
    expect(stop).toEqual({ id: String(id), cancelAction: { stopId: String(id) } });
    expect((await device.call(`/deploymentBase/${id}`)).status).toBe(404);
    // Clients may report progress even after they were asked to stop.
    expect(await device.say(`/deploymentBase/${id}/feedback`, 'proceeding')).toBe(200);
    expect(await device.say(`/cancelAction/${id}/feedback`, 'proceeding')).toBe(200);
    expect(await stateOf(rollout.id)).toBe('recalled');
    expect(await device.say(`/cancelAction/${id}/feedback`, 'closed', 'success')).toBe(200);
    expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({
      state: 'aborted',
      devices: [{ state: 'withdrawn' }],
    });
    expect(await device.say(`/cancelAction/${id}/feedback`, 'closed', 'success')).toBe(410);
    // What the client has installed by then is unknown, so its data is requested again.
    expect((await device.poll())._links).toMatchObject({ configData: {} });
  });

  it('continues the update if the client rejects it, and counts what it installs', async () => {
    const { device, rollout, id } = await recalled();
    expect(await device.say(`/cancelAction/${id}/feedback`, 'rejected', 'success')).toBe(200);
    expect(await device.offered('cancelAction')).toBe(0);
    expect(await device.offered()).toBe(id);
    expect((await device.call(`/deploymentBase/${id}`)).status).toBe(200);
    expect(await device.say(`/deploymentBase/${id}/feedback`, 'closed', 'success')).toBe(200);
    expect((await rolloutEnd(own.client, rollout.id)).devices[0]?.state).toBe('committed');
  });

  it('leaves the device failed, not withdrawn, if the client rejects it and then fails', async () => {
    for (const [path, execution, finished] of [
      ['cancelAction', 'rejected', 'success'],
      ['cancelAction', 'closed', 'failure'],
    ] as const) {
      const { device, rollout, id } = await recalled();
      await device.say(`/${path}/${id}/feedback`, execution, finished);
      expect(await device.say(`/deploymentBase/${id}/feedback`, 'closed', 'failure', 'no room')).toBe(200);
      const { state, error } = (await rolloutEnd(own.client, rollout.id)).devices[0]!;
      expect([path, execution, state, error?.message]).toEqual([path, execution, 'failed', 'no room']);
    }
  });

  it('is too late for a client that finishes without acknowledging it', async () => {
    const { device, rollout, id } = await recalled();
    expect(await device.say(`/deploymentBase/${id}/feedback`, 'closed', 'success')).toBe(200);
    expect((await rolloutEnd(own.client, rollout.id)).devices[0]?.state).toBe('committed');
    expect(await device.offered('cancelAction')).toBe(0);
  });

  it('does not apply to an action that the client has not fetched', async () => {
    const { device, rollout, id } = await offered();
    expect((await device.call(`/cancelAction/${id}`)).status).toBe(404);
    expect(await device.say(`/cancelAction/${id}/feedback`, 'closed', 'success')).toBe(405);
    await own.client.rollouts.command(rollout.id, 'abort');
    expect((await device.poll())._links).not.toHaveProperty('cancelAction');
    expect((await device.call(`/deploymentBase/${id}`)).status).toBe(404);
    expect(await device.say(`/deploymentBase/${id}/feedback`, 'proceeding')).toBe(410);
  });

  it('precedes the update that replaces the canceled one', async () => {
    const { device, id } = await offered();
    await device.call(`/deploymentBase/${id}`);
    const next = await rollOut(
      own,
      await pushBundle(own, `image-${count}`, anyBundle('v2')),
      `name=${device.name}`,
    );
    expect(await device.offered('cancelAction')).toBe(id);
    expect(await device.offered()).toBe(0);
    await device.say(`/cancelAction/${id}/feedback`, 'closed', 'success');
    const second = await device.offered();
    expect(second).toBeGreaterThan(id);
    await device.say(`/deploymentBase/${second}/feedback`, 'closed', 'success');
    expect(await rolloutEnd(own.client, next.id)).toMatchObject({ state: 'done' });
  });
});

describe('device-reported data', () => {
  const put = (device: DdiClient, body: unknown) =>
    device.call('/configData', { method: 'PUT', body: JSON.stringify(body) });

  it('becomes tags in addition to those of the operator', async () => {
    const device = await ddiClient(own, 'told');
    await own.client.devices.change(['told'], { action: 'tag', set: { site: 'lab' }, remove: [] });
    const old = { id: '', time: 'now', status: { execution: 'closed' } };
    expect((await put(device, { ...old, data: { site: 'moon', 'h w': 'a\u001bb', rev: '1' } })).status).toBe(
      200,
    );
    expect(await tagsOf('told')).toEqual({
      site: 'lab',
      'attr.site': 'moon',
      'attr.h-w': 'a b',
      'attr.rev': '1',
    });
    expect((await device.poll())._links).not.toHaveProperty('configData');
    await put(device, { mode: 'replace', data: { rev: '2', more: 'x' } });
    expect(await tagsOf('told')).toEqual({ site: 'lab', 'attr.rev': '2', 'attr.more': 'x' });
    await put(device, { mode: 'remove', data: { rev: '' } });
    expect(await tagsOf('told')).toEqual({ site: 'lab', 'attr.more': 'x' });
  });

  it('is limited in number and length', async () => {
    const device = await ddiClient(own, 'bounded');
    const many = Object.fromEntries(Array.from({ length: 49 }, (_, i) => [`k${i}`, 'x']));
    expect((await put(device, { data: many })).status).toBe(429);
    const wrong = [{}, { data: {} }, { data: [] }, { data: { a: 1 } }, { mode: 'all', data: { a: 'x' } }];
    for (const body of wrong) expect((await put(device, body)).status).toBe(400);
    await put(device, { data: { long: 'x'.repeat(5000) } });
    expect((await tagsOf('bounded'))['attr.long']).toHaveLength(64);
  });

  it('may declare firmware that was installed by other means', async () => {
    const device = await ddiClient(own, 'declared');
    const body = JSON.stringify({ name: 'factory', version: '2024.1' });
    expect((await device.call('/installedBase', { method: 'PUT', body })).status).toBe(200);
    expect((await own.client.devices.get('declared')).firmware).toBe('2024.1');
  });
});

describe('confirmation', () => {
  it('is automatic, and cannot be turned off by a device', async () => {
    const { device, id } = await offered();
    const { autoConfirm } = JSON.parse((await device.call('/confirmationBase')).text);
    expect(autoConfirm).toMatchObject({ active: true });
    const post = (path: string) => device.call(`/confirmationBase/${path}`, { method: 'POST', body: '{}' });
    expect((await post('activateAutoConfirm')).status).toBe(409);
    expect((await post('deactivateAutoConfirm')).status).toBe(403);
    expect((await device.call(`/confirmationBase/${id}`)).status).toBe(404);
  });
});

describe('a gateway', () => {
  it('acts for every registered device with a token that permits nothing else', async () => {
    const { token, id } = await own.client.tokens.create({ name: 'yocto', scopes: ['ddi:gateway'] });
    const authorization = `GatewayToken ${token}`;
    await own.client.claims.make({ name: 'behind', type: 'swupdate' });
    expect((await own.client.devices.get('behind')).state).toBe('registered');
    const device = clientOf(own, 'behind', '');
    expect((await device.call('', { authorization })).status).toBe(200);
    expect((await own.client.devices.get('behind')).state).toBe('active');
    expect((await clientOf(own, 'unknown', '').call('', { authorization })).status).toBe(404);
    await own.client.devices.act('behind', 'suspend');
    expect((await device.call('', { authorization })).status).toBe(403);
    expect((await ask(own, '/api/v1/devices', { token })).status).toBe(403);
    await own.client.devices.act('behind', 'resume');
    await own.client.tokens.revoke(id);
    expect((await device.call('', { authorization })).status).toBe(401);
  });
});

describe('a certificate', () => {
  it('replaces the token, for its own device only', async () => {
    const { privatePem: key } = generateKeyPair();
    const request = await certificateRequest(key, 'certified');
    const made = await own.client.devices.provision('certified', 'swupdate', request);
    const agent = new Agent({ key, cert: made.certificate, ca: own.ca });
    const asked = { authorization: null, agent };
    expect((await clientOf(own, 'certified', '').call('', asked)).status).toBe(200);
    await ddiClient(own, 'neighbour');
    expect((await clientOf(own, 'neighbour', '').call('', asked)).status).toBe(401);
    agent.destroy();
  });
});
