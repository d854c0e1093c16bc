/** Cuts a stream of bytes into whole frames. Each frame is a copy, which stays unchanged until its memory is returned. */
export interface FrameCutter {
  push(chunk: Buffer): void;
  /** Number of bytes discarded because they belonged to no frame, or to a truncated frame. */
  readonly skipped: number;
}

/** Reuses the memory of frames that are no longer needed. */
export interface FramePool {
  take(length: number): Buffer;
  giveBack(frame: Uint8Array): void;
}

/**
 * Creates a pool. Ten RGB pictures of 640 × 480 per second are 9 MB/s. Allocating that much makes the garbage collector
 * mark the whole heap more than once per second, which takes a fifth of the time that face detection takes.
 * @param most maximum number of frames to keep
 */
export function createFramePool(most: number): FramePool {
  const free: Buffer[] = [];
  return {
    take(length) {
      const frame = free.pop();
      return frame?.length === length ? frame : Buffer.allocUnsafe(length);
    },
    giveBack(frame) {
      if (free.length < most) free.push(Buffer.from(frame.buffer, frame.byteOffset, frame.length));
    },
  };
}

/** Cuts frames of constant length, such as those of rawvideo. */
export function fixedFrames(
  length: number,
  onFrame: (frame: Buffer) => void,
  pool: FramePool = createFramePool(0),
): FrameCutter {
  let frame = pool.take(length);
  let filled = 0;
  return {
    skipped: 0,
    push(chunk) {
      for (let at = 0; at < chunk.length; ) {
        const taken = Math.min(length - filled, chunk.length - at);
        chunk.copy(frame, filled, at, at + taken);
        filled += taken;
        at += taken;
        if (filled < length) continue;
        const whole = frame;
        frame = pool.take(length);
        filled = 0;
        onFrame(whole);
      }
    },
  };
}

/** Maximum length of a JPEG, bytes. */
const longest = 16 * 1024 * 1024;

/**
 * Cuts MJPEG, which cameras send as consecutive JPEG files. Segments are skipped by their lengths (T.81 B.1.1), because an EXIF
 * segment may contain a whole small JPEG, and searching for FFD9 alone would cut there. A truncated frame is dropped when the
 * next one begins.
 */
export function jpegFrames(onFrame: (frame: Buffer) => void): FrameCutter {
  let held: Buffer = Buffer.alloc(0);
  /** Position in `held`; all bytes before it have been parsed. */
  let at = 0;
  let state: 'seek' | 'header' | 'scan' = 'seek';
  let skipped = 0;

  const drop = (bytes: number, wasFrame = false) => {
    if (!wasFrame) skipped += bytes;
    held = held.subarray(bytes);
    at = 0;
  };
  /** The parser of each state. It returns false if it needs more bytes. */
  const steps = {
    seek() {
      const start = held.indexOf(startOfImage);
      // The last bytes may be the first two of the three bytes in `startOfImage`.
      if (start < 0) drop(Math.max(0, held.length - 2));
      else {
        drop(start);
        at = 2;
        state = 'header';
      }
      return start >= 0;
    },
    header() {
      if (at + 2 > held.length) return false;
      const [mark, marker] = [held[at]!, held[at + 1]!];
      if (mark !== 0xff) return again();
      if (marker === 0xff) at++;
      else if (marker === 0xd9) {
        onFrame(Buffer.from(held.subarray(0, at + 2)));
        drop(at + 2, true);
        state = 'seek';
      } else if (marker === 0xd8) {
        drop(at);
        at = 2;
      } else if (isAlone(marker)) at += 2;
      else {
        if (at + 4 > held.length) return false;
        const next = at + 2 + held.readUInt16BE(at + 2);
        if (next > held.length) return false;
        at = next;
        if (marker === 0xda) state = 'scan';
      }
      return true;
    },
    scan() {
      const mark = held.indexOf(0xff, at);
      at = mark < 0 ? held.length : mark;
      if (at + 2 > held.length) return false;
      const marker = held[at + 1]!;
      if (marker === 0 || isAlone(marker)) at += 2;
      else state = 'header';
      return true;
    },
  };
  /** Discards the first two bytes and searches for the next frame, because the data is not a JPEG. */
  const again = () => {
    drop(2);
    state = 'seek';
    return true;
  };
  return {
    get skipped() {
      return skipped;
    },
    push(chunk) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      while (steps[state]());
      if (held.length > longest) again();
    },
  };
}

const startOfImage = Buffer.from([0xff, 0xd8, 0xff]);

/** Whether a marker has no length: TEM, RST0 … RST7. */
const isAlone = (marker: number) => marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7);

/**
 * Converts planar YUV 4:2:0 (all Y, then all U, then all V, where each U and V covers four pixels) to RGB, three bytes
 * per pixel. Uses the limited range and the matrix of ITU-R BT.601, as libcamera does below 720 lines; coefficients are
 * scaled by 2^16.
 * @param width even
 * @param height even
 */
export function rgbOfYuv420(frame: Uint8Array, width: number, height: number): Buffer {
  const out = Buffer.allocUnsafe(width * height * 3);
  const clamped = new Uint8ClampedArray(out.buffer, out.byteOffset, out.length);
  const u = width * height;
  const v = u + u / 4;
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x < width; x += 2) {
      const chroma = (y / 2) * (width / 2) + x / 2;
      const blue = frame[u + chroma]! - 128;
      const red = frame[v + chroma]! - 128;
      const toRed = 104_597 * red + 32_768;
      const toGreen = -25_675 * blue - 53_279 * red + 32_768;
      const toBlue = 132_201 * blue + 32_768;
      for (let corner = 0; corner < 4; corner++) {
        const at = (y + (corner >> 1)) * width + x + (corner & 1);
        const luma = 76_309 * (frame[at]! - 16);
        clamped[at * 3] = (luma + toRed) >> 16;
        clamped[at * 3 + 1] = (luma + toGreen) >> 16;
        clamped[at * 3 + 2] = (luma + toBlue) >> 16;
      }
    }
  }
  return out;
}
