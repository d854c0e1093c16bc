import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { rgbOfYuv420 } from '../../../src/lib/stream/camera/frames.js';
import { deliveriesOf } from '../../../src/lib/stream/message.js';
import { openSource } from '../../../src/lib/stream/open.js';
import { describeReal } from '../../support/real.js';

let dir: string;
const path = process.env.PATH;
const source = 'smptebars=size=128x96:rate=20';

/** One frame of ffmpeg's color bars. */
function bars(pixels: 'yuv420p' | 'rgb24'): Buffer {
  const args = ['-loglevel', 'error', '-f', 'lavfi', '-i', source, '-frames:v', '1'];
  const { stdout, stderr, status } = spawnSync('ffmpeg', [
    ...args,
    ...['-sws_flags', 'neighbor+accurate_rnd+full_chroma_int', '-pix_fmt', pixels, '-f', 'rawvideo', '-'],
  ]);
  if (status !== 0) throw new Error(String(stderr));
  return stdout;
}

/** Puts a program with this name on the PATH that outputs frames like libcamera's, and records its arguments. */
async function pretend(name: string): Promise<void> {
  const ffmpeg = `exec ffmpeg -loglevel error -re -f lavfi -i ${source}`;
  const script = `echo "$*" > "${dir}/called"
case "$*" in
  *yuv420*) ${ffmpeg} -pix_fmt yuv420p -f rawvideo - ;;
  *) ${ffmpeg} -c:v mjpeg -q:v 3 -f mjpeg - ;;
esac`;
  await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(dir, name), 0o755);
}

async function firstFrame(url: string) {
  const source = await openSource(url);
  try {
    for await (const { message, ack } of deliveriesOf(source)) {
      ack();
      return message;
    }
    throw new Error('no frame');
  } finally {
    await source.close();
  }
}

describeReal('ffmpeg', 'a Raspberry Pi camera', () => {
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-libcamera-'));
    process.env.PATH = `${dir}:${path}`;
  });
  afterAll(async () => {
    process.env.PATH = path;
    await rm(dir, { recursive: true, force: true });
  });

  it('converts YUV planes to RGB as ffmpeg does, except at color edges', () => {
    const ours = rgbOfYuv420(bars('yuv420p'), 128, 96);
    const theirs = bars('rgb24');
    expect(ours.length).toBe(theirs.length);
    const off = Array.from(ours, (value, i) => Math.abs(value - theirs[i]!)).sort((a, b) => a - b);
    expect(off[Math.floor(off.length * 0.95)]).toBeLessThanOrEqual(3);
  });

  it('fails with AIOT_CAMERA_LIBCAMERA if its program is missing', async () => {
    process.env.PATH = dir;
    await expect(openSource('camera:libcamera')).rejects.toMatchObject({ code: 'AIOT_CAMERA_LIBCAMERA' });
    process.env.PATH = `${dir}:${path}`;
  });

  it('delivers JPEG files with libcamera-vid, the program of older systems', async () => {
    await pretend('libcamera-vid');
    const message = await firstFrame('camera:libcamera?size=128x96&fps=20');
    expect(message).toMatchObject({ topic: 'camera', source: 'camera:libcamera' });
    expect(await sharp(message.payload).metadata()).toMatchObject({ format: 'jpeg', width: 128, height: 96 });
    expect((await readFile(join(dir, 'called'), 'utf8')).trim()).toBe(
      '--timeout 0 --nopreview --flush --camera 0 --width 128 --height 96 --framerate 20 --codec mjpeg --quality 80 --output -',
    );
  });

  it('delivers raw pixels of the second camera', async () => {
    await pretend('rpicam-vid');
    const message = await firstFrame('camera:libcamera:1?size=128x96&fps=20&format=rgb');
    expect(Buffer.from(message.payload).equals(rgbOfYuv420(bars('yuv420p'), 128, 96))).toBe(true);
    expect(await readFile(join(dir, 'called'), 'utf8')).toMatch(/--camera 1 .*--codec yuv420 --output -/);
  });

  it.each(['camera:libcamera:front', 'camera:libcamera?format=rgb&size=650x480'])(
    'is rejected before anything is opened: %s',
    async (url) => {
      await expect(openSource(url)).rejects.toMatchObject({ code: 'AIOT_STREAM_URL' });
    },
  );
});
