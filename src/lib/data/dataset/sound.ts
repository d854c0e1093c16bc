import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AiotError, unless } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { findProgram, runProgram } from '../../core/process.js';
import { readWav, type Sound } from '../../formats/wav.js';

/**
 * ffmpeg's name for the format of each extension that it decodes. The format is specified explicitly, so that a file cannot be read as a
 * playlist, which refers to other files.
 */
const formats: Readonly<Record<string, string>> = {
  flac: 'flac',
  mp3: 'mp3',
  ogg: 'ogg',
  oga: 'ogg',
  opus: 'ogg',
  m4a: 'mov',
  aac: 'aac',
  aif: 'aiff',
  aiff: 'aiff',
};

/** Extensions of sound files, as a regular expression. */
export const soundExtensions = `wav|${Object.keys(formats).join('|')}`;

export function isWav(file: string): boolean {
  return /\.wav$/i.test(file);
}

/** Whether a file is sound, by its extension: WAV, or a format that ffmpeg decodes. */
export function isSound(file: string): boolean {
  return isWav(file) || formatOf(file) !== undefined;
}

function formatOf(file: string): string | undefined {
  const extension = /\.([a-z0-9]+)$/i.exec(file)?.[1]?.toLowerCase() ?? '';
  return Object.hasOwn(formats, extension) ? formats[extension] : undefined;
}

/** Maximum time for ffmpeg to decode a file, ms. */
const decodeMs = 120_000;

/**
 * Reads a sound file: WAV directly, and other formats with ffmpeg, which converts them to 16-bit samples. Lossless 16-bit formats yield
 * exactly the original samples.
 * @param file its extension determines the format
 * @throws AIOT_FILE_MALFORMED, AIOT_PROGRAM_NOT_FOUND
 */
export async function readSound(bytes: Uint8Array, file: string): Promise<Sound> {
  const format = formatOf(file);
  if (format === undefined) return readWav(bytes, file);
  const ffmpeg = await unless('AIOT_PROGRAM_NOT_FOUND', findProgram('ffmpeg'));
  if (ffmpeg === undefined)
    throw new AiotError(
      'AIOT_PROGRAM_NOT_FOUND',
      `${file}: reading this format needs ffmpeg, which is not installed or not on the PATH`,
      {
        endpoint: 'ffmpeg',
        next: 'Install it: `apt install ffmpeg`, `brew install ffmpeg` or `winget install ffmpeg`. Or convert the recording to 16-bit WAV on another machine.',
      },
    );
  const folder = await mkdtemp(join(tmpdir(), 'aiot-sound-'));
  try {
    const [from, to] = [join(folder, 'in'), join(folder, 'out.wav')];
    await writeFile(from, bytes);
    // Otherwise, ffmpeg drops damaged parts without an error.
    const strict = ['-xerror', '-err_detect', 'crccheck+explode'];
    const read = [...strict, '-protocol_whitelist', 'file', '-f', format, '-i', `file:${from}`];
    const write = ['-map', '0:a:0', '-c:a', 'pcm_s16le', '-f', 'wav', `file:${to}`];
    const end = await runProgram(ffmpeg, ['-nostdin', '-v', 'error', ...read, ...write], {
      timeoutMs: decodeMs,
    });
    if (end.code === 0) return readWav(await readBytes(to), file);
    const reason = end.timedOut
      ? `ffmpeg did not end within ${decodeMs / 1000} s`
      : lastLine(end.stderr, from);
    throw new AiotError('AIOT_FILE_MALFORMED', `${file}: not a complete ${format} recording: ${reason}`, {
      subject: 'sound',
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The last line of ffmpeg's output, without the name of the copy that it read. */
function lastLine(stderr: string, from: string): string {
  const lines = stderr.split('\n').flatMap((line) => line.replaceAll(`file:${from}: `, '').trim() || []);
  return (lines.at(-1) ?? 'ffmpeg failed').slice(0, 200);
}
