import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { AiotError, systemCode } from '../../core/errors.js';
import { lastOutput, startProgram, stopProgram } from '../../core/process.js';
import { onAbort } from '../../core/tasks.js';
import { backOffMs } from '../../core/time.js';
import type { Delivery, Message, Source, StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import {
  createFramePool,
  type FrameCutter,
  type FramePool,
  fixedFrames,
  jpegFrames,
  rgbOfYuv420,
} from './frames.js';
import {
  type CameraInput,
  cameraInput,
  frameMessage,
  libcameraPrograms,
  withoutCredentials,
} from './input.js';

/** Maximum number of unacknowledged frames: one that is being processed, and up to three on their way to a broker. */
const mostOut = 4;

/** First and longest delay before a lost camera is reopened, ms. */
const [firstWait, longestWait] = [500, 15_000];

/**
 * Streams the frames of a camera, read by ffmpeg or libcamera in a child process. The reader always gets the newest
 * frame. Frames that arrive while the reader is busy are dropped and counted, regardless of `overflow`, because a
 * camera cannot wait. A camera that was unplugged or has stopped delivering is reopened.
 * @throws AIOT_STREAM_URL, AIOT_CAMERA_FFMPEG, AIOT_CAMERA_LIBCAMERA, AIOT_CAMERA_FAILED (the first frame did not
 * arrive)
 */
export async function openCameraSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const input = cameraInput(url);
  const pool = createFramePool(mostOut + 1);
  // Only frames of constant length are pooled. JPEGs vary in length, and libcamera's frames are converted into new buffers.
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
    if (seen.frames === 0) throw failed(input, 'it ended without sending a frame');
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

/** Creates a promise that is settled from outside; its rejection may be unhandled. */
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

/** Opens the camera, and reopens it when it is lost, until the source is closed. Resolves if the input ends, as a file does. */
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
  let failures = 0;
  let lost = false;
  const noticing = (frame: Buffer) => {
    if (lost) options.onState?.('connected');
    lost = false;
    failures = 0;
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
    const wait = backOffMs(++failures, firstWait, longestWait);
    await sleep(wait, undefined, { signal: closing }).catch(() => {});
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
  if (stalled) return 'it stopped sending frames';
  const last = withoutCredentials(said.split('\n').at(-1) ?? '');
  return last || `its program exited with code ${code}`;
}

function failed({ endpoint }: CameraInput, reason: string): AiotError {
  return new AiotError('AIOT_CAMERA_FAILED', `${endpoint}: ${reason}`, { endpoint, retryable: true });
}

/**
 * Holds the newest message of a camera until it is read. A newer message replaces one that was not read in time, and the number of
 * unacknowledged messages is limited. A slow reader therefore gets recent frames at a lower rate, never old ones.
 */
interface Newest extends AsyncIterable<readonly Delivery[]> {
  put(message: Message): void;
  /** Messages replaced by a newer one. */
  readonly dropped: number;
  end(error?: unknown): void;
}

/**
 * @param limit maximum number of deliveries that are neither acked nor nacked
 * @param onFree called with each message that is acked or dropped unread; its payload is no longer in use
 */
export function createNewest(limit: number, onFree: (message: Message) => void = () => {}): Newest {
  let newest: Message | undefined;
  let out = 0;
  let dropped = 0;
  let over: { error?: unknown } | undefined;
  let wake = () => {};
  return {
    get dropped() {
      return dropped;
    },
    put(message) {
      if (over) return;
      if (newest) {
        dropped++;
        onFree(newest);
      }
      newest = message;
      wake();
    },
    end(error) {
      over ??= { error };
      wake();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (newest && out < limit) {
          const message = newest;
          newest = undefined;
          out++;
          let settled = false;
          const settle = (isFree: boolean) => {
            if (settled) return;
            settled = true;
            out--;
            if (isFree) onFree(message);
            wake();
          };
          yield [{ message, ack: () => settle(true), nack: () => settle(false) }];
        } else if (over && !newest) {
          if (over.error !== undefined) throw over.error;
          return;
        } else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    },
  };
}

interface ChildEnd {
  code: number | null;
  /** The last lines that the program printed on stderr. */
  said: string;
  /** Whether the program was ended because it delivered no frame for too long. */
  stalled: boolean;
}

/** Number of characters from stderr that are kept. */
const mostSaid = 2_000;

/**
 * Runs the first of these programs that is installed, and cuts its output into frames until it ends or `signal` is
 * aborted. The program never outlives this call.
 * @param frames returns the number of frames so far; if it stays the same for `stallMs`, the program is ended
 * @throws AIOT_CAMERA_FFMPEG, AIOT_CAMERA_LIBCAMERA if none of the programs is installed
 */
export async function runCamera(
  { programs, args }: Pick<CameraInput, 'programs' | 'args'>,
  cutter: FrameCutter,
  options: { signal: AbortSignal; stallMs: number; frames: () => number },
): Promise<ChildEnd> {
  for (const [at, program] of programs.entries()) {
    try {
      return await cutOutput(program, args, cutter, options);
    } catch (error) {
      const missing = systemCode(error) === 'ENOENT';
      if (missing && at < programs.length - 1) continue;
      throw new AiotError(
        program === 'ffmpeg' ? 'AIOT_CAMERA_FFMPEG' : 'AIOT_CAMERA_LIBCAMERA',
        missing
          ? `${programs[0]} is not installed, or not on the PATH`
          : `${program} does not start (${systemCode(error)})`,
        { cause: error },
      );
    }
  }
  throw new RangeError('expected a program');
}

/** Cuts a program's output into frames until the program ends. @throws the system's error if the program does not start */
async function cutOutput(
  program: string,
  args: string[],
  cutter: FrameCutter,
  { signal, stallMs, frames }: { signal: AbortSignal; stallMs: number; frames: () => number },
): Promise<ChildEnd> {
  const child = startProgram(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = lastOutput(child.stderr, mostSaid);
  let stalled = false;
  child.stdout.on('data', (chunk: Buffer) => cutter.push(chunk));
  const end = () => void stopProgram(child, { graceMs: 1_000 });
  const leave = onAbort(signal, end);
  let seen = frames();
  const watch = setInterval(() => {
    stalled = frames() === seen;
    seen = frames();
    if (stalled) end();
  }, stallMs);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, said: said().trim(), stalled };
  } finally {
    clearInterval(watch);
    leave();
  }
}
