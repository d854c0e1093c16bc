import { AiotError } from '../core/errors.js';
import { roundHalfAway } from '../core/numbers.js';

/** The sound in a WAV file. */
export interface Sound {
  /** Samples per second in each channel, Hz. */
  rateHz: number;
  /** One column per channel, all of the same length: multiples of 2⁻¹⁵, from −1 up to but not including 1 (full scale). */
  channels: Float64Array[];
}

/** Format tags for WAVE_FORMAT_PCM and WAVE_FORMAT_EXTENSIBLE (RFC 2361; Microsoft's mmreg.h). */
const [pcm, extensible] = [1, 0xfffe];

/** A declared size of at least this value means that the size was unknown when the header was written, as in a pipe. */
const unknownSize = 0x7fff_0000;

/** Full scale of a 16-bit sample. */
const scale = 2 ** 15;

const mostChannels = 32;

/**
 * Reads a WAV file with 16-bit PCM ("Multimedia Programming Interface and Data Specifications 1.0", IBM and Microsoft 1991). Chunks other
 * than `fmt ` and `data` are skipped. A data chunk without a known size, as from a pipe, ends with the file.
 * @param file name for messages
 * @throws AIOT_FILE_MALFORMED with the position in bytes: not a WAV file, damaged, truncated, without samples, or in another encoding
 */
export function readWav(bytes: Uint8Array, file: string): Sound {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const nameAt = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 12 || nameAt(0) !== 'RIFF' || nameAt(8) !== 'WAVE') {
    throw malformed(file, 0, 'expected RIFF and WAVE, which every WAV file starts with');
  }
  let format: { channels: number; rateHz: number } | null = null;
  let at = 12;
  while (at + 8 <= bytes.length) {
    const name = nameAt(at);
    const declared = view.getUint32(at + 4, true);
    const from = at + 8;
    const rest = bytes.length - from;
    if (name === 'data') {
      if (!format) throw malformed(file, at, 'expected the chunk "fmt " before "data"');
      const known = declared > 0 && declared < unknownSize;
      if (known && declared > rest)
        throw malformed(file, from, `expected ${declared} bytes of samples, got ${rest}`);
      return {
        rateHz: format.rateHz,
        channels: samplesIn(view, from, known ? declared : rest, format, file),
      };
    }
    if (declared > rest) throw malformed(file, from, `expected a chunk of ${declared} bytes, got ${rest}`);
    if (name === 'fmt ') format = formatIn(view, from, declared, file);
    // Chunks start at even positions.
    at = from + declared + (declared % 2);
  }
  throw malformed(file, at, `expected the chunk "${format ? 'data' : 'fmt '}", got the end of the file`);
}

function formatIn(view: DataView, from: number, size: number, file: string) {
  if (size < 16) throw malformed(file, from, `expected at least 16 bytes of format, got ${size}`);
  const tag = view.getUint16(from, true);
  const channels = view.getUint16(from + 2, true);
  const rateHz = view.getUint32(from + 4, true);
  const bits = view.getUint16(from + 14, true);
  // An extensible format's encoding is in the first two bytes of its GUID.
  const encoding = tag === extensible && size >= 40 ? view.getUint16(from + 24, true) : tag;
  if (encoding !== pcm || bits !== 16) {
    const got = encoding === pcm ? `PCM of ${bits} bits` : `encoding ${encoding} of ${bits} bits`;
    throw malformed(file, from, `expected 16-bit PCM, got ${got}`);
  }
  if (channels < 1 || channels > mostChannels)
    throw malformed(file, from + 2, `expected 1 to ${mostChannels} channels, got ${channels}`);
  if (rateHz < 1) throw malformed(file, from + 4, 'expected a sampling rate of at least 1 Hz, got 0');
  return { channels, rateHz };
}

function samplesIn(
  view: DataView,
  from: number,
  size: number,
  { channels: count }: { channels: number },
  file: string,
): Float64Array[] {
  const frames = Math.floor(size / (2 * count));
  if (frames === 0) throw malformed(file, from, 'expected samples, got none');
  return Array.from({ length: count }, (_, channel) => {
    const column = new Float64Array(frames);
    for (let i = 0; i < frames; i++)
      column[i] = view.getInt16(from + 2 * (i * count + channel), true) / scale;
    return column;
  });
}

function malformed(file: string, at: number, problem: string): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `${file}: byte ${at}: ${problem}`, { subject: 'wav' });
}

/** The nearest value of a 16-bit sample, from −1 up to but not including 1; halves are rounded away from zero. */
export function pcm16(value: number): number {
  return Math.max(-scale, Math.min(scale - 1, roundHalfAway(value * scale))) / scale;
}

/**
 * Writes a WAV file with 16-bit PCM. Values below −1 or above 1 are clipped.
 * @param channels one column per channel, all of the same length; at most 4 GiB in total
 * @param rateHz a whole number
 */
export function writeWav({ rateHz, channels }: Sound): Uint8Array<ArrayBuffer> {
  const count = channels.length;
  const frames = channels[0]?.length ?? 0;
  const size = 2 * count * frames;
  const bytes = new Uint8Array(44 + size);
  const view = new DataView(bytes.buffer);
  const put = (at: number, name: string) => bytes.set(new TextEncoder().encode(name), at);
  put(0, 'RIFF');
  view.setUint32(4, 36 + size, true);
  put(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, pcm, true);
  view.setUint16(22, count, true);
  view.setUint32(24, rateHz, true);
  view.setUint32(28, 2 * count * rateHz, true);
  view.setUint16(32, 2 * count, true);
  view.setUint16(34, 16, true);
  put(36, 'data');
  view.setUint32(40, size, true);
  channels.forEach((column, channel) => {
    for (let i = 0; i < frames; i++)
      view.setInt16(44 + 2 * (i * count + channel), pcm16(column[i]!) * scale, true);
  });
  return bytes;
}
