import { setTimeout as sleep } from 'node:timers/promises';
import { AiotError } from '../../core/index.js';
import type { Source } from '../message.js';
import type { StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { type ChildEnd, runCamera } from './child.js';
import { createFramePool, type FramePool, fixedFrames, jpegFrames } from './frames.js';
import { type CameraInput, cameraInput, withoutCredentials } from './input.js';
import { libcameraPrograms } from './libcamera.js';
import { frameMessage } from './message.js';
import { createNewest } from './newest.js';
import { rgbOfYuv420 } from './yuv.js';

/** Frames that the reader may have at a time: one that it works on, and some on their way to a broker. */
const mostOut = 4;
/** Waits before a camera that was lost is opened again, ms: the first, and the longest. */
const [firstWait, longestWait] = [500, 15_000];

/**
 * The frames of a camera, by a process of ffmpeg or libcamera. The reader always gets the newest: what came while it was busy is dropped and counted,
 * whatever `overflow` says, for a camera cannot wait. A camera that is unplugged, or that gives nothing any more, is opened again.
 * @throws AIOT_STREAM_URL, AIOT_CAMERA_FFMPEG, AIOT_CAMERA_LIBCAMERA, AIOT_CAMERA_FAILED (the first frame did not come)
 */
export async function openCameraSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const input = cameraInput(url);
  const pool = createFramePool(mostOut + 1);
  // A JPEG is as long as it is, and others than these are made of what came.
  const pooled = input.format === 'rgb' && input.programs !== libcameraPrograms;
  const newest = createNewest(mostOut, ({ payload }) => pooled && pool.giveBack(payload));
  const closing = new AbortController();
  const seen = { frames: 0 };
  const first = createGate();
  const onFrame = (frame: Buffer) => {
    seen.frames++;
    newest.put(frameMessage(input, frame, seen.frames));
    first.open();
  };
  const watching = watch(input, onFrame, { seen, closing: closing.signal, options, pool }).then(
    () => newest.end(),
    (error: unknown) => {
      newest.end(error);
      first.fail(error);
    },
  );
  const close = async () => {
    closing.abort();
    newest.end();
    await watching;
  };
  const waitMs = options.connectTimeoutMs ?? 10_000;
  const late = setTimeout(() => first.fail(failed(input, `no frame within ${waitMs} ms`)), waitMs);
  try {
    await Promise.race([first.promise, watching]);
    if (seen.frames === 0) throw failed(input, 'it ended without a frame');
  } catch (error) {
    await close();
    throw error;
  } finally {
    clearTimeout(late);
  }
  return {
    endpoint: input.endpoint,
    get dropped() {
      return newest.dropped;
    },
    [Symbol.asyncIterator]: () => newest[Symbol.asyncIterator](),
    close,
  };
}

/** A promise that others settle; its rejection may be nobody's. */
function createGate() {
  let open = () => {};
  let fail = (_error: unknown) => {};
  const promise = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  promise.catch(() => {});
  return { promise, open, fail };
}

/** Opens the camera again and again until it is closed; resolves where it has an end of its own. */
async function watch(
  input: CameraInput,
  onFrame: (frame: Buffer) => void,
  {
    seen,
    closing,
    options,
    pool,
  }: { seen: { frames: number }; closing: AbortSignal; options: StreamOptions; pool: FramePool },
): Promise<void> {
  const stallMs = Math.max(15_000, 20_000 / input.fps);
  let wait = firstWait;
  let lost = false;
  const noticing = (frame: Buffer) => {
    if (lost) options.onState?.('connected');
    lost = false;
    wait = firstWait;
    onFrame(frame);
  };
  while (!closing.aborted) {
    const cutter = cutterFor(input, noticing, pool);
    const end = await runCamera(input, cutter, { signal: closing, stallMs, frames: () => seen.frames });
    if (closing.aborted) return;
    if (!input.live && end.code === 0) return;
    if (seen.frames === 0 || !input.live) throw failed(input, reasonOf(end));
    if (!lost) options.onState?.('disconnected');
    lost = true;
    await sleep(wait, undefined, { signal: closing }).catch(() => {});
    wait = Math.min(wait * 2, longestWait);
  }
}

function cutterFor(
  { format, width, height, programs }: CameraInput,
  onFrame: (frame: Buffer) => void,
  pool: FramePool,
) {
  if (format === 'jpeg') return jpegFrames(onFrame);
  if (programs === libcameraPrograms) {
    const convert = (planes: Buffer) => {
      onFrame(rgbOfYuv420(planes, width, height));
      pool.giveBack(planes);
    };
    return fixedFrames(width * height * 1.5, convert, pool);
  }
  return fixedFrames(width * height * 3, onFrame, pool);
}

function reasonOf({ code, said, stalled }: ChildEnd): string {
  if (stalled) return 'it gave no more frames';
  const last = withoutCredentials(said.split('\n').at(-1) ?? '');
  return last || `its program ended with code ${code}`;
}

function failed({ endpoint }: CameraInput, reason: string): AiotError {
  return new AiotError('AIOT_CAMERA_FAILED', `${endpoint}: ${reason}`, { endpoint, retryable: true });
}
