import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cameraInput } from '../../../src/lib/stream/camera/input.js';
import { parseStreamUrl } from '../../../src/lib/stream/url.js';

const dir = mkdtempSync(join(tmpdir(), 'aiot-camera-'));
writeFileSync(join(dir, 'x.mp4'), '');
writeFileSync(join(dir, 'x.png'), '');
const inputOf = (url: string) => cameraInput(parseStreamUrl(url));

describe('a camera address', () => {
  it.each([
    [
      'camera:///dev/video7?fps=15&size=320x240',
      '-f v4l2 -input_format mjpeg -framerate 15 -video_size 320x240 -i /dev/video7',
      '-c:v copy -f mjpeg -',
      'video7',
      true,
    ],
    [
      'camera:/dev/video7?input=yuyv422',
      '-f v4l2 -input_format yuyv422 -framerate 10 -video_size 640x480 -i /dev/video7',
      '-c:v mjpeg -q:v 4 -f mjpeg -',
      'video7',
      true,
    ],
    [
      'camera:///dev/video7?format=rgb',
      '-input_format mjpeg',
      '-pix_fmt rgb24 -f rawvideo -',
      'video7',
      true,
    ],
    [`camera://${dir}/x.mp4?loop`, `-re -stream_loop -1 -i ${dir}/x.mp4`, '-f mjpeg -', 'x', false],
    [
      `camera://${dir}/x.png?topic=hall`,
      `-re -loop 1 -framerate 10 -i ${dir}/x.png`,
      '-f mjpeg -',
      'hall',
      false,
    ],
    [
      'camera:lavfi:testsrc2=rate=5',
      '-re -f lavfi -i testsrc2=rate=5',
      'fps=10,scale=640:480',
      'camera',
      false,
    ],
    [
      'camera:rtsp://u:p@10.0.0.9:554/main%3Fkey=7',
      '-rtsp_transport tcp -i rtsp://u:p@10.0.0.9:554/main?key=7',
      '-f mjpeg -',
      'camera',
      true,
    ],
    ['camera:avfoundation:0', '-f avfoundation -framerate 10 -i 0', '-f mjpeg -', 'camera', true],
  ])('%s makes ffmpeg read with %s', (url, reading, writing, topic, live) => {
    const input = inputOf(url);
    expect(input.args.join(' ')).toContain(reading);
    expect(input.args.join(' ')).toContain(writing);
    expect([input.topic, input.live]).toEqual([topic, live]);
  });

  it('hides the password and the query of a network camera', () => {
    expect(inputOf('camera:rtsp://u:p@10.0.0.9/main%3Fkey=7').endpoint).toBe('camera:rtsp://10.0.0.9/main');
  });

  it.each([
    ['camera:///dev/video0?size=640', 'size: expected WIDTHxHEIGHT'],
    ['camera:///dev/video0?size=0x480', 'size: expected WIDTHxHEIGHT'],
    ['camera:///dev/video0?fps=0', 'fps: expected more than 0'],
    ['camera:///dev/video0?fps=fast', 'fps: expected'],
    ['camera:///dev/video0?format=png', 'format'],
    ['camera:///dev/video0?frames=3', 'frames'],
    ['camera:///dev/video0?input=mjpeg%20-i', 'input'],
  ])('%s is rejected: %s', (url, said) => {
    expect(() => inputOf(url)).toThrow(said);
  });
});
