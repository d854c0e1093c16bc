import { once } from 'node:events';
import { AiotError, onAbort, startProgram, systemCode } from '../../core/index.js';
import type { FrameCutter } from './frames.js';
import type { CameraInput } from './input.js';

export interface ChildEnd {
  code: number | null;
  /** What it last said, at most some lines. */
  said: string;
  /** It gave no frame for too long. */
  stalled: boolean;
}

/** Of what it says, as much is kept. */
const mostSaid = 2_000;

/**
 * Runs the first of these programs that is here once, its output cut into frames, until it ends or `signal` is aborted; never leaves it
 * running.
 * @param frames how many were cut so far; when there is no other one for `stallMs` the program is ended
 * @throws AIOT_CAMERA_FFMPEG, AIOT_CAMERA_LIBCAMERA when none of them is here
 */
export async function runCamera(
  { programs, args }: Pick<CameraInput, 'programs' | 'args'>,
  cutter: FrameCutter,
  options: { signal: AbortSignal; stallMs: number; frames: () => number },
): Promise<ChildEnd> {
  for (const [at, program] of programs.entries()) {
    try {
      return await runProgram(program, args, cutter, options);
    } catch (error) {
      const missing = systemCode(error) === 'ENOENT';
      if (missing && at < programs.length - 1) continue;
      throw new AiotError(
        program === 'ffmpeg' ? 'AIOT_CAMERA_FFMPEG' : 'AIOT_CAMERA_LIBCAMERA',
        missing
          ? `${programs[0]} is not installed here, or not on the PATH`
          : `${program} does not start (${systemCode(error)})`,
        { cause: error },
      );
    }
  }
  throw new RangeError('expected a program');
}

async function runProgram(
  program: string,
  args: string[],
  cutter: FrameCutter,
  { signal, stallMs, frames }: { signal: AbortSignal; stallMs: number; frames: () => number },
): Promise<ChildEnd> {
  const child = startProgram(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
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
  const leave = onAbort(signal, end);
  let seen = frames();
  const watch = setInterval(() => {
    stalled = frames() === seen;
    seen = frames();
    if (stalled) end();
  }, stallMs);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, said: said.trim(), stalled };
  } finally {
    clearInterval(watch);
    leave();
  }
}
