import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  createFramePool,
  type FrameCutter,
  fixedFrames,
  jpegFrames,
} from '../../../src/lib/stream/camera/frames.js';
import { fc } from '../../support/property.js';

/** Feeds bytes in chunks of the given lengths, repeating the last length. */
function feed(cutter: FrameCutter, bytes: Buffer, lengths: number[]): void {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[Math.min(i, lengths.length - 1)]!;
    cutter.push(bytes.subarray(at, at + length));
    at += length;
  }
}
const chunks = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 });

describe('fixed-length frames', () => {
  it('arrive whole, however the bytes are split', () => {
    fc.assert(
      fc.property(chunks, fc.integer({ min: 1, max: 50 }), (lengths, frameLength) => {
        const all = Buffer.from(Array.from({ length: 5 * frameLength + 3 }, (_, i) => i % 251));
        const got: Buffer[] = [];
        feed(
          fixedFrames(frameLength, (frame) => got.push(frame)),
          all,
          lengths,
        );
        expect(got.length).toBe(Math.floor(all.length / frameLength));
        expect(Buffer.concat(got)).toEqual(all.subarray(0, got.length * frameLength));
      }),
    );
  });

  it('stay unchanged until they are returned to the pool, and are then reused', () => {
    const pool = createFramePool(2);
    const got: Buffer[] = [];
    const cutter = fixedFrames(4, (frame) => got.push(frame), pool);
    cutter.push(Buffer.from('aaaabbbb'));
    pool.giveBack(got[0]!);
    cutter.push(Buffer.from('ccccddddeeee'));
    expect(got.map(String)).toEqual(['dddd', 'bbbb', 'cccc', 'dddd', 'eeee']);
    expect(got[3]!.buffer === got[0]!.buffer && got[3]!.byteOffset === got[0]!.byteOffset).toBe(true);
    expect(createFramePool(0).take(3)).toHaveLength(3);
    pool.giveBack(Buffer.alloc(9));
    expect(pool.take(4)).toHaveLength(4);
  });
});

describe('JPEG frames', () => {
  let frames: Buffer[];
  let withThumbnail: Buffer;
  beforeAll(async () => {
    const noise = (seed: number) =>
      sharp(Buffer.from(Array.from({ length: 48 * 32 * 3 }, (_, i) => ((i + seed) * 2_654_435_761) >>> 24)), {
        raw: { width: 48, height: 32, channels: 3 },
      });
    frames = await Promise.all([
      noise(1).jpeg().toBuffer(),
      noise(2).jpeg({ progressive: true }).toBuffer(),
      noise(3).jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer(),
    ]);
    // An APP1 segment that contains a whole JPEG, like the thumbnails that cameras embed.
    const [first] = frames as [Buffer];
    const head = Buffer.from([0xff, 0xe1, 0, 0]);
    head.writeUInt16BE(first.length + 2, 2);
    withThumbnail = Buffer.concat([first.subarray(0, 2), head, first, first.subarray(2)]);
  });
  const cut = (bytes: Buffer, lengths: number[]) => {
    const got: Buffer[] = [];
    const cutter = jpegFrames((frame) => got.push(frame));
    feed(cutter, bytes, lengths);
    return { got, skipped: cutter.skipped };
  };

  it('arrive whole, however the bytes are split, even with embedded thumbnails', () => {
    const all = [...frames, withThumbnail, ...frames];
    fc.assert(
      fc.property(chunks, (lengths) => {
        expect(cut(Buffer.concat(all), lengths)).toEqual({ got: all, skipped: 0 });
      }),
    );
    expect(cut(Buffer.concat(all), [1]).got).toEqual(all);
  });

  it('are delivered as soon as their last byte arrives', () => {
    const got: Buffer[] = [];
    const cutter = jpegFrames((frame) => got.push(frame));
    cutter.push(frames[0]!);
    expect(got).toHaveLength(1);
  });

  it('start with the next complete frame if the stream is joined midway', () => {
    const late = Buffer.concat(frames).subarray(frames[0]!.length - 300);
    expect(cut(late, [97])).toEqual({ got: frames.slice(1), skipped: 300 });
  });

  it('are not lost when another frame is truncated', () => {
    for (const part of [0.3, 0.6, 0.9]) {
      const torn = frames[2]!.subarray(0, Math.floor(frames[2]!.length * part));
      const { got } = cut(Buffer.concat([frames[0]!, torn, frames[1]!, frames[2]!]), [64]);
      expect(got.map((frame) => frame.length)).toEqual([0, 1, 2].map((i) => frames[i]!.length));
    }
  });

  it('recover after noise in the stream', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), chunks, (noise, lengths) => {
        // Noise that looks like the start of a frame can hide the next frame, but the frame after that always arrives.
        const { got } = cut(Buffer.concat([Buffer.from(noise), ...frames, ...frames]), lengths);
        expect(got.at(-1)).toEqual(frames[2]);
      }),
    );
  });
});
