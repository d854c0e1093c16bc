import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixedFrames } from '../../../src/lib/stream/camera/frames.js';
import { createNewest, runCamera } from '../../../src/lib/stream/camera/source.js';
import { deliveriesOf, type Message, type Source } from '../../../src/lib/stream/message.js';
import { openSource } from '../../../src/lib/stream/open.js';

let dir: string;
const path = process.env.PATH;

/** Puts a program named ffmpeg on the PATH before any real one. Its frames come from the file frame.jpg. */
async function pretend(script: string): Promise<void> {
  await writeFile(join(dir, 'ffmpeg'), `#!/bin/sh\ncd "${dir}"\n${script}\n`);
  await chmod(join(dir, 'ffmpeg'), 0o755);
}
async function take(source: Source, count: number): Promise<Message[]> {
  const taken: Message[] = [];
  for await (const { message, ack } of deliveriesOf(source)) {
    taken.push(message);
    ack();
    if (taken.length >= count) break;
  }
  return taken;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-camera-'));
  await sharp({ create: { width: 32, height: 24, channels: 3, background: '#f80' } }).toFile(
    join(dir, 'frame.jpg'),
  );
  process.env.PATH = `${dir}:${path}`;
});
afterAll(async () => {
  process.env.PATH = path;
  await rm(dir, { recursive: true, force: true });
});

describe('a camera', () => {
  it('delivers frames with their type, size and number', async () => {
    await pretend('while cat frame.jpg; do sleep 0.02; done');
    const source = await openSource('camera:///dev/video9');
    const [first, second] = await take(source, 2);
    await source.close();
    expect(source.endpoint).toBe('camera:/dev/video9');
    expect(first).toMatchObject({ topic: 'video9', source: 'camera:/dev/video9' });
    expect(first!.headers).toEqual([
      ['content-type', 'image/jpeg'],
      ['width', '32'],
      ['height', '24'],
      ['frame', expect.stringMatching(/^\d+$/)],
    ]);
    expect(await sharp(first!.payload).metadata()).toMatchObject({ width: 32, height: 24 });
    expect(second!.time).toBeGreaterThanOrEqual(first!.time);
  });

  it('is reopened when it disappears, and reports its state', async () => {
    await pretend('cat frame.jpg; sleep 0.1; echo "No such device" >&2; exit 1');
    const states: string[] = [];
    const source = await openSource('camera:///dev/video9', { onState: (state) => states.push(state) });
    const frames = await take(source, 3);
    await source.close();
    expect(frames).toHaveLength(3);
    expect(states.slice(0, 4)).toEqual(['disconnected', 'connected', 'disconnected', 'connected']);
  });

  it('fails with ffmpeg’s message, without the password, if it is unavailable', async () => {
    await pretend('echo "rtsp://u:secret@127.0.0.1/x?key=secret: Connection refused" >&2; exit 1');
    const error = await openSource('camera:rtsp://u:secret@127.0.0.1/x').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'AIOT_CAMERA_FAILED', retryable: true });
    expect(String(error)).toContain('Connection refused');
    expect(JSON.stringify(error) + String(error)).not.toContain('secret');
  });

  it('fails if no frame arrives in time', async () => {
    await pretend('echo $$ > pid; exec sleep 60');
    const opening = openSource('camera:///dev/video9', { connectTimeoutMs: 300 });
    await expect(opening).rejects.toMatchObject({
      code: 'AIOT_CAMERA_FAILED',
      message: expect.stringContaining('300 ms'),
    });
  });

  it('explains how to install ffmpeg if it is missing', async () => {
    process.env.PATH = '/nowhere';
    try {
      const error = await openSource('camera:///dev/video9').catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: 'AIOT_CAMERA_FFMPEG',
        next: expect.stringContaining('apt install ffmpeg'),
      });
    } finally {
      process.env.PATH = `${dir}:${path}`;
    }
  });

  it('is stopped when it stalls', async () => {
    await pretend('exec sleep 60');
    const cutter = fixedFrames(10, () => {});
    const signal = new AbortController().signal;
    const end = await runCamera({ programs: ['ffmpeg'], args: [] }, cutter, {
      signal,
      stallMs: 100,
      frames: () => 0,
    });
    expect(end.stalled).toBe(true);
  });
});

describe('the queue of the newest frame', () => {
  const message = (frame: number) => ({ topic: 'c', payload: Buffer.of(frame), time: frame, source: 'c' });

  it('drops frames that were not read in time', async () => {
    const newest = createNewest(4);
    const reader = newest[Symbol.asyncIterator]();
    for (let frame = 1; frame <= 5; frame++) newest.put(message(frame));
    const { value } = await reader.next();
    expect([value[0].message.time, newest.dropped]).toEqual([5, 4]);
  });

  it('waits while too many frames are unacknowledged, then delivers the newest', async () => {
    const newest = createNewest(2);
    const reader = newest[Symbol.asyncIterator]();
    const out = [];
    for (let frame = 1; frame <= 2; frame++) {
      newest.put(message(frame));
      out.push((await reader.next()).value[0]);
    }
    newest.put(message(3));
    const third = reader.next();
    newest.put(message(4));
    out[0].ack();
    out[0].nack();
    expect((await third).value[0].message.time).toBe(4);
    expect(newest.dropped).toBe(1);
  });

  it('frees acknowledged and dropped frames once, and nacked frames never', async () => {
    const freed: number[] = [];
    const newest = createNewest(4, ({ time }) => freed.push(time));
    const reader = newest[Symbol.asyncIterator]();
    const next = async (frame: number) => {
      newest.put(message(frame));
      return (await reader.next()).value[0];
    };
    const [first, second] = [await next(1), await next(2)];
    newest.put(message(3));
    newest.put(message(4));
    expect(freed).toEqual([3]);
    second.nack();
    second.ack();
    first.ack();
    first.ack();
    expect(freed).toEqual([3, 1]);
  });

  it('delivers the last frame, then fails with the error', async () => {
    const newest = createNewest(1);
    newest.put(message(1));
    newest.end(new Error('unplugged'));
    newest.put(message(2));
    const times: number[] = [];
    const reading = (async () => {
      for await (const [delivery] of newest) times.push(delivery!.message.time);
    })();
    await expect(reading).rejects.toThrow('unplugged');
    expect(times).toEqual([1]);
  });
});

describe('a folder of pictures', () => {
  it('delivers pictures in natural order, and loops at the requested rate', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-pictures-'));
    const names = ['face10.png', 'face2.png', 'face1.jpg'];
    for (const name of names) await sharp(join(dir, 'frame.jpg')).toFile(join(folder, name));
    await writeFile(join(folder, 'notes.txt'), 'none');
    const source = await openSource(`pictures://${folder}`);
    const taken = await take(source, 9);
    expect(taken.map(({ topic }) => topic)).toEqual(['face1.jpg', 'face2.png', 'face10.png']);
    expect(taken[1]!.headers).toContainEqual(['content-type', 'image/png']);
    expect(taken[1]!.headers).toContainEqual(['height', '24']);

    const again = await openSource(`pictures://${folder}?loop&fps=200&topic=hall`);
    const began = performance.now();
    const frames = await take(again, 7);
    await again.close();
    expect(performance.now() - began).toBeGreaterThan(25);
    expect(frames.map(({ topic }) => topic)).toEqual(Array(7).fill('hall'));
    expect(frames.at(-1)!.headers).toContainEqual(['frame', '7']);
  });

  it('stops reading while many pictures are unacknowledged, and ends when closed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-pictures-'));
    await sharp(join(dir, 'frame.jpg')).toFile(join(folder, 'one.png'));
    const source = await openSource(`pictures://${folder}?loop`);
    let taken = 0;
    const reading = (async () => {
      for await (const _ of deliveriesOf(source)) taken++;
    })();
    await expect.poll(() => taken).toBe(16);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(taken).toBe(16);
    await source.close();
    await reading;
  });

  it.each([
    ['pictures:///nowhere', 'AIOT_FILE_NOT_FOUND'],
    ['pictures:', 'AIOT_STREAM_URL'],
    ['pictures:///tmp?fps=-1', 'AIOT_STREAM_URL'],
    ['pictures:///tmp?rate=1', 'AIOT_STREAM_URL'],
  ])('%s is rejected with %s', async (url, code) => {
    await expect(openSource(url)).rejects.toMatchObject({ code });
  });

  it('is rejected if it contains no pictures', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'aiot-pictures-'));
    await expect(openSource(`pictures://${empty}`)).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_READABLE',
      message: expect.stringContaining('contains no pictures'),
    });
  });
});
