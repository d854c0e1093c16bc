import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { UpPlatform } from '../../src/lib/platform/up/up.js';
import { initProject } from '../../src/lib/project/init.js';
import { upProject } from '../../src/lib/project/up.js';
import type { Message, Source } from '../../src/lib/stream/message.js';
import { openSource } from '../../src/lib/stream/open.js';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { describeReal } from '../support/real.js';
import { type S3Server, startVersitygw } from '../support/s3.js';

describeReal('mosquitto', 'the face camera with two Mosquitto brokers', () => {
  describeReal('versitygw', 'and an S3 server that checks signatures', faceCamera);
});

function faceCamera() {
  let folder: string;
  let local: Mosquitto;
  let remote: Mosquitto;
  let s3: S3Server;
  let source: Source;
  /** Messages received by a subscriber of the local broker. */
  const seen: Message[] = [];
  const before = { ...process.env };

  /** A broker whose sessions survive a restart, as is usual in production. */
  const broker = () => startMosquitto({ settings: ['persistence true'] });
  const start = (camera: string): Promise<UpPlatform> =>
    upProject(
      {
        ...{ project: join(folder, 'hall'), data: join(folder, 'platform'), newToken: false },
        ...{ host: '127.0.0.1', httpPort: 0, mqttPort: 0 },
        set: {
          CAMERA: camera,
          LOCAL: `mqtt://127.0.0.1:${local.port}`,
          REMOTE: `mqtt://127.0.0.1:${remote.port}`,
          STORE: 's3://gallery',
        },
      },
      () => {},
    );
  const stored = async () => {
    const names = await readdir(join(s3.folder, 'gallery', 'faces')).catch(() => [] as string[]);
    return names.filter((name) => /^face\d+\.png$/.test(name));
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-face-camera-'));
    [local, remote, s3] = await Promise.all([broker(), broker(), startVersitygw()]);
    await s3.makeBucket('gallery');
    Object.assign(process.env, {
      AIOT_CONFIG_DIR: join(folder, 'config'),
      AWS_ACCESS_KEY_ID: s3.accessKey,
      AWS_SECRET_ACCESS_KEY: s3.secretKey,
      AWS_ENDPOINT_URL: s3.url,
    });
    await initProject({ dir: join(folder, 'hall'), template: 'face-camera' });
    source = await openSource(`mqtt://127.0.0.1:${local.port}/faces?qos=1`, { overflow: 'wait' });
    void (async () => {
      for await (const batch of source)
        for (const delivery of batch) {
          seen.push(delivery.message);
          delivery.ack();
        }
    })();
  }, 60_000);
  afterAll(async () => {
    await source?.close();
    await Promise.all([local?.stop(), remote?.stop(), s3?.stop()]);
    for (const name of ['AIOT_CONFIG_DIR', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_ENDPOINT_URL'])
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    await rm(folder, { recursive: true, force: true });
  });

  it('loses no face while the link, the remote broker and the store fail and recover', async () => {
    const first = await start('pictures://pictures?loop&fps=5');
    await expect.poll(async () => (await stored()).length, { timeout: 20_000 }).toBeGreaterThan(3);
    // The link fails twice for a while, and then the store fails.
    await remote.restart({ downMs: 1500 });
    await delay(500);
    await remote.restart({ downMs: 1000 });
    await s3.kill();
    await delay(1000);
    await s3.start();
    // A busy machine may look at few pictures during the faults.
    await expect.poll(() => seen.length, { timeout: 40_000 }).toBeGreaterThan(15);
    await first.stop();
    const kept = (await stored()).length;

    // Messages that were in flight when the project stopped wait at the brokers, and an empty room adds no new
    // ones.
    await mkdir(join(folder, 'hall', 'empty'));
    await sharp({ create: { width: 64, height: 48, channels: 3, background: '#888' } }).toFile(
      join(folder, 'hall', 'empty', '0.png'),
    );
    const second = await start('pictures://empty');
    try {
      await expect
        .poll(async () => (await stored()).length, { timeout: 40_000 })
        .toBeGreaterThanOrEqual(seen.length);
      await delay(500);
    } finally {
      await second.stop();
    }
    const objects = await Promise.all(
      (await stored()).map((name) => readFile(join(s3.folder, 'gallery', 'faces', name), 'latin1')),
    );
    const missing = [...objects];
    for (const { payload } of seen) {
      const text = Buffer.from(payload).toString('latin1');
      const at = missing.indexOf(text);
      expect(at, 'a face that was seen at the local broker is not in the store').toBeGreaterThanOrEqual(0);
      missing.splice(at, 1);
    }
    expect(kept).toBeGreaterThan(0);
    // The numbering continues without gaps and without overwriting.
    const numbers = (await stored()).map((name) => Number(name.slice(4, -4))).sort((a, b) => a - b);
    expect(numbers).toEqual(numbers.map((_, n) => n));
    process.stderr.write(`faces seen ${seen.length}, stored ${objects.length}\n`);
  }, 180_000);

  it('sends face metadata in MQTT 5 properties', () => {
    const headers = new Map(seen[0]!.headers);
    expect(headers.get('content-type')).toBe('image/png');
    expect(Number(headers.get('score'))).toBeGreaterThan(0.6);
    expect(headers.get('box')).toMatch(/^\d+,\d+,\d+,\d+$/);
    expect(headers.get('camera')).toMatch(/^frame0\d\.jpg$/);
  });
}
