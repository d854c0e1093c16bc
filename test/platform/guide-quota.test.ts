import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ask, formOf, type TestGuide, testGuide } from '../support/guide.js';
import { connect } from '../support/mqtt.js';

const data = 'shaded-pole-motor-sensor_data';
const reading = '{"deviceID": "7", "current": 1, "temperature": 20, "vibration": 0.5, "sound": 60}';
const third = 100_000;

let own: TestGuide;
beforeEach(async () => {
  own = await testGuide({ compatQuota: 3 * third + 1000, compatDeleteAll: true, compatMaxRows: 2 });
}, 30_000);
afterEach(() => own?.stop());

const get = (path: string, more: object = {}) => ask(own.urls.models, path, { ca: own.ca, ...more });
const upload = (path: string, name: string, content: Buffer) =>
  get(path, { method: 'POST', ...formOf(name, content) });

describe('the storage quota of unauthenticated clients', () => {
  it('covers all names together, and still counts overwritten versions', async () => {
    for (let i = 0; i < 3; i++)
      expect((await upload('/uploadModel', 'model.zip', randomBytes(third))).status).toBe(200);
    const refused = await upload('/upload', 'more.csv', Buffer.from('1,2\n'));
    expect(refused).toMatchObject({ status: 507, headers: { 'content-type': 'text/plain; charset=utf-8' } });
    expect(refused.text).toBe("the guide's clients have reached their storage limit of 293.9 KiB\n");
    await own.client.models.remove('model', 1);
    await expect(upload('/upload', 'more.csv', Buffer.from('1,2\n'))).resolves.toMatchObject({ status: 200 });
    await own.restart();
    await expect(upload('/upload', 'many.csv', randomBytes(third))).resolves.toMatchObject({ status: 507 });
  });

  it('also applies to concurrent uploads', async () => {
    const many = Array.from({ length: 6 }, (_, i) => upload('/upload', `${i}.csv`, randomBytes(third)));
    const answered = (await Promise.all(many)).map(({ status }) => status);
    const kept = answered.filter((status) => status === 200).length;
    expect(answered.filter((status) => status === 507)).toHaveLength(6 - kept);
    expect(kept).toBeLessThanOrEqual(3);
    const listing = await ask(own.urls.datasets, '/', { ca: own.ca });
    expect(listing.text.match(/<a /g) ?? []).toHaveLength(kept);
    // A rejected upload takes no space.
    for (let i = kept; i < 3; i++)
      expect((await upload('/upload', `later-${i}.csv`, randomBytes(third))).status).toBe(200);
  });

  it('also applies to MQTT: a message is acknowledged only once it is stored', async () => {
    await upload('/upload', 'big.csv', randomBytes(3 * third));
    const board = await connect(own.urls.mqtt, { clientId: '7', reconnectPeriod: 0 });
    const published = board.publishAsync(data, reading, { qos: 1 }).then(
      () => 'acknowledged',
      () => 'refused',
    );
    const waited = new Promise((resolve) => setTimeout(() => resolve('waits'), 700));
    expect(await Promise.race([published, waited])).not.toBe('acknowledged');
    await board.endAsync(true);
    expect((await get('/deleteAllData')).status).toBe(200);
    expect((await ask(own.urls.datasets, '/deleteAllData', { ca: own.ca })).status).toBe(200);
    const again = await connect(own.urls.mqtt, { clientId: '8' });
    for (let i = 0; i < 2; i++) await again.publishAsync(data, reading, { qos: 1 });
    await again.endAsync(true);
    await expect
      .poll(async () => (await ask(own.urls.datasets, '/', { ca: own.ca })).text)
      .toContain('raw_sensor_training_data_');
  });
});

describe('/deleteAllData, if allowed', () => {
  it('removes the uploads of its service, and the versions made from them', async () => {
    await upload('/uploadModel', 'a.zip', randomBytes(10));
    await upload('/upload', 'raw.csv', Buffer.from('1\n'));
    expect((await get('/deleteAllData', { method: 'POST' })).status).toBe(200);
    expect((await get('/full/')).text).toBe('<pre>\n</pre>\n');
    await expect(own.client.models.versions('a')).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    // The files of the other service are still there, and deleted files can be uploaded again.
    expect((await ask(own.urls.datasets, '/raw.csv', { ca: own.ca })).status).toBe(200);
    expect((await upload('/uploadModel', 'a.zip', randomBytes(10))).status).toBe(200);
    expect((await get('/full/')).text).toContain('a.zip');
  });

  it('keeps the devices', async () => {
    const form = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } };
    await ask(own.urls.devices, '/provisionDevice', { ca: own.ca, ...form, body: 'device_id=77' });
    expect((await ask(own.urls.devices, '/deleteAllData', { ca: own.ca })).status).toBe(200);
    const asked = await ask(own.urls.devices, '/confirmActivation', {
      ca: own.ca,
      ...form,
      body: 'device_id=77',
    });
    expect(asked.text).toBe('TRUE');
  });
});
