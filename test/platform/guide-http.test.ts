import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, formOf, rawly, type TestGuide, testGuide } from '../support/guide.js';

let own: TestGuide;

beforeAll(async () => {
  own = await testGuide();
}, 30_000);

afterAll(() => own?.stop());

const get = (port: 'devices' | 'models' | 'datasets', path: string, more: object = {}) =>
  ask(own.urls[port], path, { ca: own.ca, ...more });
const upload = (port: 'models' | 'datasets', path: string, name: string, content: string | Buffer) =>
  get(port, path, { method: 'POST', ...formOf(name, content) });

describe('uploads from the guide’s clients', () => {
  it('get a 200 response without a body, and are listed as in Go', async () => {
    const answer = await upload('models', '/uploadModel', '2022-05-06-20:36:11-model.zip', 'PK\x03\x04zip');
    expect(answer).toMatchObject({ status: 200, text: '', headers: { 'content-length': '0' } });
    await upload('models', '/uploadModel', 'a&b <c>.zip', 'x');
    const listing = await get('models', '/full/');
    expect(listing.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(listing.headers['content-length']).toBe(String(listing.body.length));
    expect(listing.text).toBe(
      '<pre>\n' +
        '<a href="./2022-05-06-20:36:11-model.zip">2022-05-06-20:36:11-model.zip</a>\n' +
        '<a href="a&amp;b%20%3Cc%3E.zip">a&amp;b &lt;c&gt;.zip</a>\n' +
        '</pre>\n',
    );
    const file = await get('models', '/full/a&b%20%3Cc%3E.zip');
    expect(file.text).toBe('x');
  });

  it('keep the base name of the file, and the latest content for each name', async () => {
    await upload('models', '/uploadQuantizedModel', '../../evil.bin', 'twenty bytes of text');
    await upload('models', '/uploadQuantizedModel', 'evil.bin', 'abc');
    expect((await get('models', '/quantized/evil.bin')).text).toBe('abc');
  });

  it('are accepted for both services on both ports', async () => {
    const csv = 'deviceID,timeStamp\n1,2\n';
    expect((await upload('models', '/upload', 'raw_1.csv', csv)).status).toBe(200);
    expect((await upload('datasets', '/uploadNormalizedData', 'n_1.csv', '1,2\n')).status).toBe(200);
    expect((await get('datasets', '/raw_1.csv')).text).toBe(csv);
    expect((await get('models', '/raw_1.csv')).text).toBe(csv);
    expect((await get('datasets', '/')).text).toBe('<pre>\n<a href="raw_1.csv">raw_1.csv</a>\n</pre>\n');
    expect((await get('datasets', '/normalized_training_data/n_1.csv')).text).toBe('1,2\n');
  });

  it('are rejected in plain text if the form or the method is wrong', async () => {
    const plain = await get('models', '/uploadModel', { method: 'POST', body: 'x' });
    expect(plain).toMatchObject({ status: 400, headers: { 'content-type': 'text/plain; charset=utf-8' } });
    const field = await get('models', '/uploadModel', { method: 'POST', ...formOf('a.zip', 'x', 'data') });
    expect(field.status).toBe(400);
    expect((await upload('models', '/uploadModel', '..', 'x')).status).toBe(400);
    const other = await get('models', '/uploadModel');
    expect(other).toMatchObject({
      status: 405,
      text: 'Method not allowed\n',
      headers: { 'content-type': 'text/plain; charset=utf-8', 'content-length': '19' },
    });
    expect((await get('models', '/uploadModel/', { method: 'POST' })).status).toBe(404);
  });

  it('become unsigned versions', async () => {
    await upload('models', '/uploadQuantizedModel', '2022-05-06-20:36:12-motor.tflite', 'TFL');
    const [version] = await own.client.models.versions('motor');
    expect(version).toMatchObject({ version: 1, trusted: false, kind: 'upload' });
    await upload('models', '/uploadQuantizedModel', '2022-05-06-20:36:12-motor.tflite', 'TFL');
    expect(await own.client.models.versions('motor')).toHaveLength(1);
  });

  it('create the version and the file together, or neither', async () => {
    const { default: Database } = await import('libsql');
    const database = new Database(join(own.folder, 'data', 'state.db'));
    const name = '2022-05-06-20:36:13-broken.tflite';
    database.exec(`CREATE TRIGGER broken BEFORE INSERT ON guideFiles WHEN NEW.name = '${name}'
      BEGIN SELECT RAISE(ABORT, 'no'); END`);
    expect((await upload('models', '/uploadQuantizedModel', name, 'TFL')).status).toBe(500);
    await expect(own.client.models.versions('broken')).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    database.exec('DROP TRIGGER broken');
    database.close();
    expect((await upload('models', '/uploadQuantizedModel', name, 'TFL')).status).toBe(200);
    expect(await own.client.models.versions('broken')).toMatchObject([{ version: 1, trusted: false }]);
    const audit = await own.client.audit.list('broken');
    expect(audit.map(({ action }) => action)).toEqual(['model.upload']);
  });
});

describe('the guide’s servers', () => {
  it('redirect where their clients expect it', async () => {
    expect(await get('models', '/full')).toMatchObject({
      status: 301,
      text: '',
      headers: { location: 'full/', 'content-length': '0' },
    });
    expect(await get('models', '/full/.//a.zip')).toMatchObject({
      status: 301,
      text: '<a href="/full/a.zip">Moved Permanently</a>.\n\n',
      headers: { location: '/full/a.zip' },
    });
    expect(await get('models', '/index.html')).toMatchObject({ status: 301, headers: { location: './' } });
    expect(await get('datasets', '/raw_1.csv/')).toMatchObject({
      status: 301,
      headers: { location: '../raw_1.csv' },
    });
  });

  it('return Go’s 404 text for missing files, and never return files of the machine', async () => {
    const missing = await get('models', '/full/nothing');
    expect(missing).toMatchObject({
      status: 404,
      text: '404 page not found\n',
      headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
    });
    for (const path of [
      '/full/%2e%2e/%2e%2e/etc/passwd',
      '/..%2f..%2fetc/passwd',
      '/etc/passwd',
      '/full/..%5c..',
    ]) {
      const answer = await get('models', path);
      expect([301, 404], path).toContain(answer.status);
    }
    expect((await get('models', '/%zz')).status).toBe(400);
    expect((await get('models', '/%00')).status).toBe(400);
  });

  it('list the root of the model registry', async () => {
    expect((await get('models', '/')).text).toBe(
      '<pre>\n<a href="OTA_bin/">OTA_bin/</a>\n<a href="full/">full/</a>\n<a href="normalized_training_data/">normalized_training_data/</a>\n<a href="quantized/">quantized/</a>\n</pre>\n',
    );
    expect((await get('models', '/OTA_bin/')).text).toBe('<pre>\n</pre>\n');
  });

  it('support ranges, HEAD and dates', async () => {
    await upload('datasets', '/upload', 'ten.csv', '0123456789');
    const part = await get('datasets', '/ten.csv', { headers: { range: 'bytes=2-4' } });
    expect(part).toMatchObject({ status: 206, text: '234', headers: { 'content-range': 'bytes 2-4/10' } });
    expect((await get('datasets', '/ten.csv', { headers: { range: 'bytes=20-' } })).status).toBe(416);
    const head = await get('datasets', '/ten.csv', { method: 'HEAD' });
    expect(head).toMatchObject({
      status: 200,
      text: '',
      headers: { 'content-length': '10', 'accept-ranges': 'bytes' },
    });
    const since = String(head.headers['last-modified']);
    const again = await get('datasets', '/ten.csv', { headers: { 'if-modified-since': since } });
    expect(again).toMatchObject({ status: 304, text: '' });
    expect((await get('datasets', '/ten.csv', { method: 'POST', body: 'x' })).text).toBe('0123456789');
  });

  it('respond in HTTP/1.1 with a length, even to a client that offers HTTP/2', async () => {
    const text = await rawly(
      own.urls.models,
      own.ca,
      'GET /full HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n',
    );
    expect(text).toMatch(/^HTTP\/1\.1 301 Moved Permanently\r\n/);
    expect(text).toMatch(/\r\ncontent-length: 0\r\n/i);
    expect(text).not.toMatch(/transfer-encoding|content-encoding/i);
  });

  it('explain the error to a client without TLS', async () => {
    const { port } = new URL(own.urls.models);
    const said = await new Promise<string>((resolve, reject) => {
      const chunks: Buffer[] = [];
      const socket = connect(Number(port), '127.0.0.1', () =>
        socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      );
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('error', reject);
      socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
    });
    expect(said).toBe('HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n');
  });

  it('delete nothing unless the platform allows it', async () => {
    for (const port of ['devices', 'models', 'datasets'] as const) {
      expect((await get(port, '/deleteAllData')).status).toBe(403);
    }
    expect((await get('datasets', '/ten.csv')).status).toBe(200);
  });
});

describe('the guide’s device registry', () => {
  const form = (path: string, body: string, more: object = {}) =>
    get('devices', path, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body,
      ...more,
    });

  it('responds with FALSE, then TRUE once the device is provisioned, without a newline', async () => {
    expect((await get('devices', '/')).text).toBe('<pre>\n</pre>\n');
    expect((await get('devices', '/device_registry.dat')).status).toBe(404);
    const before = await form('/confirmActivation', 'device_id=14333616');
    expect(before).toMatchObject({ status: 200, text: 'FALSE', headers: { 'content-length': '5' } });
    expect(await form('/provisionDevice', 'device_id=14333616')).toMatchObject({ status: 200, text: '' });
    expect(await form('/provisionDevice', 'device_id=14333616')).toMatchObject({ status: 200, text: '' });
    expect(await form('/confirmActivation', 'device_id=14333616')).toMatchObject({
      text: 'TRUE',
      headers: { 'content-type': 'text/plain; charset=utf-8', 'content-length': '4' },
    });
    expect((await get('devices', '/device_registry.dat')).text).toBe('14333616\n');
    expect((await get('devices', '/')).text).toBe(
      '<pre>\n<a href="device_registry.dat">device_registry.dat</a>\n</pre>\n',
    );
  });

  it('adds its devices to the platform, registered and without a certificate', async () => {
    const devices = await own.client.devices.list();
    expect(devices).toMatchObject([{ name: 'guide-14333616', chipId: '14333616', state: 'registered' }]);
  });

  it('responds with FALSE to a missing id, and registers no device for an invalid one', async () => {
    for (const body of ['', 'device_id=', '{"device_id":"14333616"}']) {
      expect((await form('/confirmActivation', body)).text, body).toBe('FALSE');
    }
    expect((await form('/provisionDevice', 'device_id=')).status).toBe(400);
    expect((await form('/provisionDevice', `device_id=${'1'.repeat(65)}`)).status).toBe(400);
    expect((await form('/provisionDevice', `device_id=${'1'.repeat(20_000)}`)).status).toBe(413);
  });

  it('also reads the id from the query or a multipart form', async () => {
    expect((await form('/confirmActivation?device_id=14333616', '')).text).toBe('TRUE');
    const body = '--b\r\nContent-Disposition: form-data; name="device_id"\r\n\r\n14333616\r\n--b--\r\n';
    const headers = { 'content-type': 'multipart/form-data; boundary=b' };
    expect((await form('/confirmActivation', body, { headers })).text).toBe('TRUE');
  });

  it('responds to unsupported methods with the guide’s message', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      expect(await get('devices', '/confirmActivation', { method })).toMatchObject({
        status: 200,
        text: 'Sorry, only GET and POST methods are supported.',
      });
    }
  });

  it('does not restore a device that an operator revoked', async () => {
    await form('/provisionDevice', 'device_id=77');
    await own.client.devices.change(['guide-77'], { action: 'revoke' });
    expect((await form('/confirmActivation', 'device_id=77')).text).toBe('FALSE');
    expect((await form('/provisionDevice', 'device_id=77')).status).toBe(403);
    expect((await form('/confirmActivation', 'device_id=77')).text).toBe('FALSE');
  });
});
