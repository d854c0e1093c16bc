import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { deliveriesOf } from '../../../src/lib/stream/message.js';
import { openAdmin, openSink, openSource } from '../../../src/lib/stream/open.js';
import { describeReal } from '../../support/real.js';
import { type S3Server, startMoto, startVersitygw } from '../../support/s3.js';

const png = (n: number) => Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.from([0, 255, n])]);
const message = (payload: Buffer | string, topic = 'faces') => ({
  topic,
  payload: Buffer.from(payload),
  time: Date.UTC(2026, 10, 20, 18, 30),
});

function common(start: () => Promise<S3Server>) {
  let server: S3Server;
  beforeAll(async () => {
    server = await start();
    await server.makeBucket('bucket');
  }, 60_000);
  afterAll(() => server?.stop());
  const open = (key: string) => openSink(`s3://${key}?endpoint=${server.url}`, credentials());
  const credentials = () => ({ username: server.accessKey, password: server.secretKey });

  async function objects(prefix: string) {
    const source = await openSource(`s3://bucket/${prefix}?endpoint=${server.url}`, credentials());
    const found: Record<string, { payload: Buffer; type: unknown }> = {};
    for await (const { message: each } of deliveriesOf(source)) {
      found[each.topic] = { payload: Buffer.from(each.payload), type: each.headers?.[0]?.[1] };
    }
    await source.close();
    return found;
  }

  it('an S3 sink stores one object per message, and continues the numbering after a restart', async () => {
    const one = await open('bucket/faces/face{n}.png');
    await one.write([png(0), png(1), png(2)].map((each) => message(each)));
    await one.close();
    const two = await open('bucket/faces/face{n}.png');
    await two.write([message(png(3))]);
    await two.close();
    const found = await objects('faces/');
    expect(Object.keys(found).sort()).toEqual([
      'faces/face0.png',
      'faces/face1.png',
      'faces/face2.png',
      'faces/face3.png',
    ]);
    for (let n = 0; n < 4; n++) {
      expect(found[`faces/face${n}.png`]).toEqual({ payload: png(n), type: 'image/png' });
    }
  });

  it('an S3 sink never overwrites an object that another sink created', async () => {
    const [one, two] = [await open('bucket/race/{n}'), await open('bucket/race/{n}')];
    await Promise.all([one.write([message('a'), message('b')]), two.write([message('c'), message('d')])]);
    await one.close();
    await two.close();
    const found = Object.values(await objects('race/')).map(({ payload }) => payload.toString());
    expect(found.sort()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('an S3 sink accepts any character in keys made from topic, key and time', async () => {
    const sink = await open('bucket/any/{time:YYYY-MM-DD}/{topic}/{key} (1).json');
    await sink.write([{ ...message('{"x":1}', "a+b/ü & <c>/100%'s"), key: Buffer.from('k=1;~') }]);
    await sink.close();
    expect(await objects('any/')).toEqual({
      "any/2026-11-20/a+b/ü & <c>/100%'s/k=1;~ (1).json": {
        payload: Buffer.from('{"x":1}'),
        type: 'application/json',
      },
    });
  });

  it('an S3 sink keeps the last of several messages for one key', async () => {
    const sink = await open('bucket/latest/{topic}');
    await sink.write(Array.from({ length: 20 }, (_, i) => message(String(i))));
    await sink.close();
    expect((await objects('latest/'))['latest/faces']?.payload.toString()).toBe('19');
  });

  it('an S3 sink reports a missing bucket', async () => {
    await expect(open('nowhere/face{n}.png')).rejects.toMatchObject({
      code: 'AIOT_STREAM_REFUSED',
      message: expect.stringContaining('NoSuchBucket'),
    });
  });
  return { server: () => server, open, objects };
}

describeReal('streams', 'the S3 server of moto', () => {
  common(startMoto);
});

describeReal('versitygw', 'an S3 server that checks signatures', () => {
  const { server, open, objects } = common(startVersitygw);

  it('lists more than one page of objects', async () => {
    const sink = await open('bucket/many/{n:5}');
    await sink.write(Array.from({ length: 1_030 }, (_, i) => message(String(i))));
    await sink.close();
    expect(Object.keys(await objects('many/')).length).toBe(1_030);
    const next = await open('bucket/many/{n:5}');
    await next.write([message('next')]);
    await next.close();
    expect((await objects('many/01030'))['many/01030']?.payload.toString()).toBe('next');
  }, 60_000);

  it('is checked without leaving objects behind, and lists its contents', async () => {
    await (await open('bucket/trial/a')).write([message('abc')]);
    const keys = { username: server().accessKey, password: server().secretKey };
    const admin = await openAdmin(`s3://bucket/trial/{n}?endpoint=${server().url}`, keys);
    const results = await admin.check({});
    expect(results.map(({ what, state }) => `${what} ${state}`)).toEqual([
      'list ok',
      'write ok',
      'read ok',
      expect.stringMatching(/^objects are never overwritten (ok|no)$/),
      'delete ok',
    ]);
    expect(await admin.topics({ listenMs: 0 })).toMatchObject([{ topic: 'trial/', messages: 1, bytes: 3 }]);
    await admin.close();
  });

  it('rejects a wrong secret, and no error contains it', async () => {
    const failed = await openSink(`s3://bucket/{n}?endpoint=${server().url}`, {
      username: server().accessKey,
      password: 'wrong-secret',
    }).catch((error: unknown) => error as Error);
    expect(failed).toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: expect.stringContaining('SignatureDoesNotMatch'),
    });
    expect(JSON.stringify(failed) + (failed as Error).message).not.toContain('wrong-secret');
  });

  it('stores each object unchanged and under one number, even if it is killed repeatedly', async () => {
    const sink = await open('bucket/faults/face{n}.png');
    let done = false;
    const faults = (async () => {
      for (let round = 0; round < 3 && !done; round++) {
        await delay(250);
        await server().kill();
        await delay(400);
        await server().start();
      }
    })();
    const sent: Buffer[] = [];
    for (let i = 0; i < 40; i++) {
      const payload = Buffer.concat([png(i), Buffer.alloc(20_000, i)]);
      const batch = [message(payload)];
      // Retries the same messages until they are stored, like a route.
      for (const began = performance.now(); ; await delay(50)) {
        try {
          await sink.write(batch);
          break;
        } catch (error) {
          if (performance.now() - began > 30_000) throw error;
        }
      }
      sent.push(payload);
      await delay(20);
    }
    done = true;
    await faults;
    await sink.close();
    const folder = join(server().folder, 'bucket', 'faults');
    const names = (await readdir(folder)).filter((name) => name.endsWith('.png'));
    const number = (name: string) => Number(/\d+/.exec(name)![0]);
    names.sort((a, b) => number(a) - number(b));
    expect(names.map(number)).toEqual(sent.map((_, n) => n));
    for (const [n, name] of names.entries()) {
      expect(sent[n]!.equals(await readFile(join(folder, name)))).toBe(true);
    }
  }, 60_000);
});
