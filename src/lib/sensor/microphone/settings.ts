import { z } from 'zod';
import { readSettings, type SensorUrl, wholePositive } from '../url.js';

const shape = {
  /** Samples a second. */
  rate: wholePositive.pipe(z.number().max(192_000, 'expected at most 192000')).prefault('16000'),
  channels: wholePositive.pipe(z.number().max(32, 'expected at most 32')).prefault('1'),
  /** Of a sample on the wire: digital microphones want 32 bits. */
  bits: z.enum(['16', '32']).default('16'),
  /** Sound levels instead of samples: one for each window of so many ms. */
  level: wholePositive.pipe(z.number().max(60_000, 'expected at most 60000 ms')).optional(),
  /** dBFS that the microphone gives at 94 dB SPL; −26 is the INMP441's (its data sheet). */
  sensitivity: z
    .string()
    .regex(/^-?\d+(\.\d+)?$/, 'expected dBFS at 94 dB SPL, such as -26')
    .transform(Number)
    .prefault('-26'),
};

/** What `alsa://CARD[,DEVICE]?…` says. */
export type MicrophoneSettings = z.output<z.ZodObject<typeof shape>>;

/** @throws AIOT_SENSOR_URL */
export function microphoneSettings(url: SensorUrl): MicrophoneSettings {
  return readSettings(url, shape);
}

/** Of the pieces in which the card hands over what it has, ms. */
export const pieceMs = 50;

/** arecord's arguments: raw samples on its standard output. */
export function arecordArguments(pcm: string, { rate, channels, bits }: MicrophoneSettings): string[] {
  return [
    ...['-q', '-D', pcm, '-t', 'raw', '-f', `S${bits}_LE`, '-c', `${channels}`, '-r', `${rate}`],
    // A second of patience with a reader that is late, and twenty pieces of it.
    ...['--buffer-time=1000000', `--period-time=${pieceMs * 1000}`],
  ];
}
