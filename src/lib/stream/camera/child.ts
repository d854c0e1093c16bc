import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { AiotError, systemCode } from '../../core/index.js';
import type { FrameCutter } from './frames.js';

export interface ChildEnd {
  code: number | null;
  /** What it last said, at most some lines. */
  said: string;
  /** It gave no frame for too long. */
  stalled: boolean;
}

/** Of what ffmpeg says, as much is kept. */
const mostSaid = 2_000;

/**
 * Runs ffmpeg once, its output cut into frames, until it ends or `signal` is aborted; never leaves it running.
 * @param alive called by the one who cuts at each frame; without one for `stallMs` it is ended
 * @throws AIOT_CAMERA_FFMPEG when there is no ffmpeg here
 */
export async function runFfmpeg(
  args: string[],
  cutter: FrameCutter,
  { signal, stallMs, frames }: { signal: AbortSignal; stallMs: number; frames: () => number },
): Promise<ChildEnd> {
  const child = spawn('ffmpeg', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  let stalled = false;
  child.stdout.on('data', (chunk: Buffer) => cutter.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-mostSaid);
  });
  const end = () => {
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 1_000).unref();
  };
  signal.addEventListener('abort', end, { once: true });
  let seen = frames();
  const watch = setInterval(() => {
    stalled = frames() === seen;
    seen = frames();
    if (stalled) end();
  }, stallMs);
  try {
    if (signal.aborted) end();
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, said: said.trim(), stalled };
  } catch (error) {
    const missing = systemCode(error) === 'ENOENT';
    throw new AiotError(
      'AIOT_CAMERA_FFMPEG',
      missing
        ? 'ffmpeg is not installed here, or not on the PATH'
        : `ffmpeg does not start (${systemCode(error)})`,
      { cause: error },
    );
  } finally {
    clearInterval(watch);
    signal.removeEventListener('abort', end);
  }
}
