import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/core/time.js';
import {
  type Action,
  afterCancelPoll,
  afterDownload,
  afterFeedback,
  afterWithdrawal,
} from '../../src/lib/platform/ddi/action.js';
import { parseAttributes, parseFeedback, tagOf } from '../../src/lib/platform/ddi/bodies.js';
import { anyBundle, clientOf, type DdiClient, ddiClient, pushBundle, rollOut } from '../support/ddi.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';
import { rolloutNow } from '../support/rollout.js';

const fresh: Action = {
  ...{ id: 1001, device: 'dev_1', wish: 'ro_1', state: 'open', created: 0, ended: null, release: null },
  ...{ seen: true, step: 'IDLE', kept: false, recalled: null, polls: 0, downloads: 0, messages: [] },
};

describe('client feedback', () => {
  it.each([
    [
      'SWUpdate',
      '{"id":7,"time":"20260101T000000","status":{"result":{"finished":"none","progress":{"cnt":3,"of":0}},"execution":"proceeding","details":["a","b"]}}',
    ],
    [
      'RAUC',
      '{"id":"20","time":"now","status":{"result":{"finished":"none"},"execution":"proceeding","details":["a","b"]}}',
    ],
    ['Zephyr', '{"status":{"execution":"proceeding","result":{"finished":"none"},"details":["a","b"]}}'],
    [
      'hawkBit’s own',
      '{"timestamp":1,"status":{"execution":"proceeding","result":{"finished":"none"},"code":1,"details":["a","b"]}}',
    ],
  ])('is parsed from %s', (_client, text) => {
    expect(parseFeedback(text)).toEqual({ execution: 'proceeding', finished: 'none', details: ['a', 'b'] });
  });

  it('is parsed from invalid JSON if a failure message is not escaped', () => {
    const text =
      '{"id":7,"status":{"result":{"finished":"failure"},"execution":"closed","details":["said "no" to it"]}}';
    expect(parseFeedback(text)).toMatchObject({ execution: 'closed', finished: 'failure' });
  });

  it.each([
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['a list', '[]'],
    ['null', 'null'],
    ['an unknown word', '{"status":{"execution":"exploded","result":{"finished":"none"}}}'],
    ['an unknown result', '{"status":{"execution":"closed","result":{"finished":"maybe"}}}'],
    ['very deep nesting', '['.repeat(200_000)],
    ['a member of the prototype', '{"status":{"__proto__":{"execution":"closed"}}}'],
  ])('is rejected if invalid: %s', (_what, text) => {
    expect(() => parseFeedback(text)).toThrow(expect.objectContaining({ code: 'AIOT_REQUEST_INVALID' }));
  });

  it('is bounded, and stripped of terminal control characters', () => {
    const details = [...Array.from({ length: 500 }, () => 'x'.repeat(9000)), 7, 'red\u001b[31m\u0000'];
    const said = parseFeedback(JSON.stringify({ status: { execution: 'closed', details } }));
    expect(said.details).toHaveLength(48);
    expect(Math.max(...said.details.map((detail) => detail.length))).toBe(500);
    expect(said.details.at(-1)).toBe('red [31m');
    let action = fresh;
    for (let i = 0; i < 10; i++)
      action = afterFeedback(action, { ...said, execution: 'proceeding' }, 0).action;
    expect(action.messages).toHaveLength(50);
  });

  it('sets only tags with its own prefix', () => {
    expect(tagOf('site')).toBe('attr.site');
    expect(tagOf('../../etc')).toBe('attr...-..-etc');
    expect(tagOf('x'.repeat(500))).toHaveLength(63);
    expect(() => parseAttributes('{"data":{"a":{"b":1}}}')).toThrow('only string values');
  });

  it('that never arrives ends the action after repeated downloads', () => {
    let action = fresh;
    for (let i = 0; i < 10; i++) action = afterDownload(action, 0).action;
    expect(action.state).toBe('open');
    expect(afterDownload(action, 9)).toMatchObject({
      action: { state: 'failed', ended: 9 },
      report: { state: 'IDLE', error: { code: 'AIOT_DDI_FAILED' } },
    });
  });
});

describe('an unanswered cancellation', () => {
  it('ends the action after many polls and a long time, not before', () => {
    let action = afterWithdrawal(fresh, 0);
    expect(action.state).toBe('cancelling');
    const poll = (at: number) => afterCancelPoll(action, at);
    for (let i = 0; i < 100; i++) action = poll(60_000).action;
    expect(action.state).toBe('cancelling');
    expect(poll(3_600_000)).toMatchObject({
      action: { state: 'cancelled', ended: 3_600_000 },
      report: { state: 'IDLE', error: null },
    });
    expect(afterCancelPoll(afterWithdrawal(fresh, 0), 9e9).action.state).toBe('cancelling');
  });
});

describe('invalid client requests', () => {
  let own: TestPlatform;
  let device: DdiClient;
  let id: number;
  let rollout: string;
  beforeAll(async () => {
    own = await testPlatform();
    device = await ddiClient(own, 'target');
    rollout = (await rollOut(own, await pushBundle(own, 'image', anyBundle()))).id;
    id = await device.offered();
  });
  afterAll(() => own.stop());

  it('find no action or file', async () => {
    const numbers = [
      '0',
      '-1',
      '1e3',
      '99999999999',
      '2147483648',
      String(id + 1),
      'x',
      '..%2f1',
      `${id}%00`,
    ];
    for (const number of numbers) {
      for (const path of ['deploymentBase', 'cancelAction', 'installedBase', 'confirmationBase']) {
        expect([400, 404]).toContain((await device.call(`/${path}/${number}`)).status);
      }
      expect([400, 404]).toContain(
        await device.say(`/deploymentBase/${number}/feedback`, 'closed', 'success'),
      );
    }
    await device.call(`/deploymentBase/${id}`);
    const files = [
      'image-1.swu.MD5SUM.MD5SUM',
      '..%2f..%2fstate.db',
      '..',
      '%2e%2e%2f%2e%2e%2fpki%2fca.key',
      'image-2.swu',
      '',
    ];
    for (const file of files) {
      expect((await device.call(`/softwaremodules/1/artifacts/${file}`)).status).toBe(404);
    }
    expect((await device.call('/softwaremodules/1/artifacts/image-1.swu')).status).toBe(200);
    expect((await device.call('/softwaremodules/2/artifacts/image-1.swu')).status).toBe(404);
  });

  it('are rejected, and change nothing', async () => {
    const post = (body: string, headers: Record<string, string> = {}) =>
      device.call(`/deploymentBase/${id}/feedback`, { method: 'POST', body, headers });
    expect((await post('{}')).status).toBe(400);
    expect((await post(`{"status":"${'x'.repeat(2_000_000)}"}`)).status).toBe(413);
    expect((await post('{"a":'.repeat(100_000))).status).toBe(400);
    expect((await post('<x/>', { 'content-type': 'text/xml' })).status).toBe(415);
    const refused = JSON.parse((await post('{}')).text);
    expect(refused).toMatchObject({ errorCode: 'AIOT_REQUEST_INVALID', message: expect.any(String) });
    expect((await rolloutNow(own.client, rollout)).devices[0]?.state).toBe('updating');
  });

  it('do not reveal which devices exist', async () => {
    const wrong = { authorization: 'TargetToken guess' };
    const unknown = clientOf(own, 'nobody', 'guess');
    expect([(await device.call('', wrong)).status, (await unknown.call('')).status]).toEqual([401, 401]);
    for (const name of ['%2e%2e', '%00', 'a%2fb', 'x'.repeat(3000), '__proto__', 'constructor']) {
      const path = `/default/controller/v1/${name}`;
      expect([400, 401, 414]).toContain((await ask(own, path, { token: '', headers: wrong })).status);
    }
  });
});

describe('secrets', () => {
  it('of many devices behind one address are accepted at the same time, and guesses still limited', async () => {
    const started = Date.now();
    // The limit is per minute, which must not end during the test.
    const site = await testPlatform({ clock: { ...systemClock, now: () => started } });
    const devices: DdiClient[] = [];
    for (let i = 0; i < 25; i++) devices.push(await ddiClient(site, `gw-${i}`));
    await site.restart();
    const statuses = await Promise.all(devices.map(async ({ call }) => (await call('')).status));
    expect(statuses).toEqual(devices.map(() => 200));
    const guesses = devices.map(({ name }) => clientOf(site, name, 'guess'));
    const guessed = await Promise.all(guesses.map(async ({ call }) => (await call('')).status));
    expect(new Set(guessed)).toEqual(new Set([401]));
    // The address has no attempts left, even for a right secret that was not verified before.
    const late = await ddiClient(site, 'late');
    expect((await late.call('')).status).toBe(401);
    await site.stop();
  });
});
