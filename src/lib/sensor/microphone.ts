import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, systemCode } from '../core/errors.js';
import { startProgram, stopProgram } from '../core/process.js';
import { type Clock, systemClock } from '../core/time.js';
import { steady } from './host-clock.js';
import { Timeline } from './timeline.js';
import type { SampleBatch, SampleField, SampleSource, SourceFaults } from './types.js';
import { parseSensorUrl, readSettings, type SensorUrl, wholePositive } from './url.js';

interface MicrophoneOptions extends SoundRoots {
  /** Default = the system's clock. */
  clock?: Clock;
  /** Recording program; default arecord. */
  program?: string;
}

/** Maximum time without a sample, ms. */
const stallMs = 3_000;

/** Delays before arecord is restarted, ms. After the last one, the microphone counts as lost. */
const waitsMs = [250, 500, 1_000, 2_000];

/** One microphone in use. */
interface Recording {
  endpoint: string;
  pcm: string;
  program: string;
  settings: MicrophoneSettings;
  faults: SourceFaults;
  clock: Clock;
  signal: AbortSignal;
  running: Recorder | undefined;
}

/**
 * Opens a microphone through ALSA's arecord: `alsa://default`, `alsa://CARD` or `alsa://CARD,DEVICE`, with settings such as
 * `?rate=16000&channels=1`. Returns samples from −1 to 1 or, with `?level=125`, sound levels in dB SPL. Resolves when the first samples
 * have arrived. Restarts arecord when it exits.
 * @throws AIOT_SENSOR_URL, AIOT_SENSOR_NOT_FOUND, AIOT_SENSOR_DENIED, AIOT_SENSOR_TOOL, AIOT_SENSOR_FAILED
 */
export async function openMicrophone(url: string, options: MicrophoneOptions = {}): Promise<SampleSource> {
  const parsed = parseSensorUrl(url);
  const settings = microphoneSettings(parsed);
  const closing = new AbortController();
  const recording: Recording = {
    endpoint: `alsa:${parsed.place || 'default'}`,
    pcm: await pcmOf(parsed.place, options),
    program: options.program ?? 'arecord',
    settings,
    faults: { overruns: 0, retries: 0, reconnects: 0 },
    clock: options.clock ?? systemClock,
    signal: closing.signal,
    running: undefined,
  };
  const batches = record(recording);
  const close = async () => {
    closing.abort();
    await recording.running?.stop();
  };
  const first = await batches.next().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    endpoint: recording.endpoint,
    fields: fieldsOf(settings),
    rateHz: settings.level === undefined ? settings.rate : 1000 / settings.level,
    faults: recording.faults,
    async *[Symbol.asyncIterator]() {
      if (!first.done) yield first.value;
      yield* batches;
    },
    close,
  };
}

function fieldsOf({ channels, level }: MicrophoneSettings): SampleField[] {
  const unit = level === undefined ? 'FS' : 'dB';
  if (channels === 1) return [{ name: 'sound', unit }];
  return Array.from({ length: channels }, (_, i) => ({ name: `sound${i}`, unit }));
}

/** Yields the output of arecord, across restarts. */
async function* record(recording: Recording): AsyncGenerator<SampleBatch> {
  const { program, pcm, settings, faults, clock, signal } = recording;
  const toBatch = createBatches(settings, faults, clock);
  let [failures, given] = [0, false];
  while (!signal.aborted) {
    const recorder = startRecorder(program, arecordArguments(pcm, settings), {
      stallMs,
      onOverrun: toBatch.overrun,
    });
    recording.running = recorder;
    toBatch.begin();
    for (let bytes = await recorder.next(); bytes; bytes = await recorder.next()) {
      failures = 0;
      const batch = toBatch.make(bytes);
      if (batch) {
        given = true;
        yield batch;
      }
    }
    if (signal.aborted) return;
    const end = await recorder.ended();
    const wait = given ? waitsMs[failures++] : undefined;
    if (wait === undefined) throw over(recording, given, end);
    await clock.sleep(wait, signal).catch(() => {});
    faults.reconnects++;
  }
}

function over(
  { endpoint, program }: Recording,
  given: boolean,
  { code, said }: { code: number | null; said: string },
): AiotError {
  const reason = said.split('\n').at(-1) || `${program} exited with code ${code}`;
  return new AiotError(given ? 'AIOT_SENSOR_LOST' : 'AIOT_SENSOR_FAILED', `${endpoint}: ${reason}`, {
    endpoint,
    retryable: true,
    ...(given
      ? {}
      : {
          next: 'To list the microphones, run `arecord -l`. The device may be in use, or may not support this rate.',
        }),
  });
}

const shape = {
  /** Samples per second. */
  rate: wholePositive.pipe(z.number().max(192_000, 'expected at most 192000')).prefault('16000'),
  channels: wholePositive.pipe(z.number().max(32, 'expected at most 32')).prefault('1'),
  /** Bits of a sample as transferred: digital microphones require 32. */
  bits: z.enum(['16', '32']).default('16'),
  /** If set, sound levels are returned instead of samples, one for each window of this many ms. */
  level: wholePositive.pipe(z.number().max(60_000, 'expected at most 60000 ms')).optional(),
  /** Output of the microphone in dBFS at 94 dB SPL, such as −26 for the INMP441 (data sheet). */
  sensitivity: z
    .string()
    .regex(/^-?\d+(\.\d+)?$/, 'expected dBFS at 94 dB SPL, such as -26')
    .transform(Number)
    .prefault('-26'),
};

/** A parsed `alsa://CARD[,DEVICE]?…` URL. */
type MicrophoneSettings = z.output<z.ZodObject<typeof shape>>;

/** @throws AIOT_SENSOR_URL */
function microphoneSettings(url: SensorUrl): MicrophoneSettings {
  return readSettings(url, shape);
}

/** Length of the periods that the card delivers, ms. */
const pieceMs = 50;

/** arecord's arguments: raw samples on its standard output. */
function arecordArguments(pcm: string, { rate, channels, bits }: MicrophoneSettings): string[] {
  return [
    ...['-q', '-D', pcm, '-t', 'raw', '-f', `S${bits}_LE`, '-c', `${channels}`, '-r', `${rate}`],
    // The card buffers one second, in twenty periods, so that a late read loses nothing.
    ...['--buffer-time=1000000', `--period-time=${pieceMs * 1000}`],
  ];
}

/** A running program that outputs bytes until it exits. */
interface Recorder {
  /** The next bytes; undefined at the end of the output. Ends the program if it outputs nothing for `stallMs`. @throws AIOT_SENSOR_TOOL */
  next(): Promise<Buffer | undefined>;
  /** Resolves when the program has exited, to its last message and its exit code. */
  ended(): Promise<{ code: number | null; said: string }>;
  /** Ends the program; resolves when it has exited. */
  stop(): Promise<void>;
}

/** Maximum number of characters of the program's stderr that are kept. */
const mostSaid = 2_000;

const killAfterMs = 1_000;

/** @param onOverrun called when the program's buffer overran */
export function startRecorder(
  program: string,
  args: readonly string[],
  { stallMs, onOverrun }: { stallMs: number; onOverrun: () => void },
): Recorder {
  // Messages must be in English, because overruns are recognized by their text.
  const child = startProgram(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  let said = '';
  let failure: unknown;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-mostSaid);
    for (const _ of text.matchAll(/overrun!!!/g)) onOverrun();
  });
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code));
    child.once('error', (error) => {
      failure = error;
      resolve(null);
    });
  });
  const end = () => void stopProgram(child, { graceMs: killAfterMs });
  const chunks = child.stdout[Symbol.asyncIterator]();
  return {
    async next() {
      const stalled = setTimeout(end, stallMs);
      const chunk = await chunks.next().catch(() => ({ done: true as const, value: undefined }));
      clearTimeout(stalled);
      if (!chunk.done) return chunk.value as Buffer;
      await ended;
      if (failure !== undefined) throw notStarted(program, failure);
      return undefined;
    },
    async ended() {
      return { code: await ended, said: said.trim() };
    },
    async stop() {
      end();
      child.stdout.destroy();
      await ended;
    },
  };
}

function notStarted(program: string, cause: unknown): AiotError {
  const missing = systemCode(cause) === 'ENOENT';
  const what = missing ? 'is not installed, or not on the PATH' : `does not start (${systemCode(cause)})`;
  return new AiotError('AIOT_SENSOR_TOOL', `${program} ${what}`, { endpoint: program, cause });
}

/**
 * Converts chunks of bytes to batches. The number of samples that are missing after an overrun, or between two runs, is derived from the
 * time.
 */
function createBatches(settings: MicrophoneSettings, faults: SourceFaults, clock: Clock) {
  const { rate, channels, bits, level, sensitivity } = settings;
  const frameBytes = (channels * Number(bits)) / 8;
  const frames = level === undefined ? 1 : Math.max(1, Math.round((rate * level) / 1000));
  const timeline = new Timeline(rate / frames, clock);
  const steadyClock = steady(clock);
  let rest = Buffer.alloc(0);
  let windows = createWindows(frames * channels);
  let broken = false;
  return {
    /** Begins a new run of arecord. A partial sample of the previous run is discarded. */
    begin() {
      rest = Buffer.alloc(0);
      windows = createWindows(frames * channels);
      broken = true;
    },
    overrun() {
      faults.overruns++;
      broken = true;
    },
    make(bytes: Buffer): SampleBatch | undefined {
      const all = rest.length > 0 ? Buffer.concat([rest, bytes]) : bytes;
      const whole = all.length - (all.length % frameBytes);
      rest = Buffer.from(all.subarray(whole));
      const samples = samplesOf(all.subarray(0, whole), bits);
      const values =
        level === undefined
          ? samples
          : Float64Array.from(windows(samples).flatMap((one) => soundLevels(one, channels, sensitivity)));
      const count = values.length / channels;
      if (count === 0) return undefined;
      const now = steadyClock.now();
      // The newest sample is at most as old as the card's period.
      const { times, lost, stepMs } = timeline.place({
        count,
        left: 0,
        askedMs: [now - pieceMs, now],
        broken,
      });
      broken = false;
      return { values, times, count, lost, ...(stepMs > 0 && { clockStepMs: stepMs }) };
    },
  };
}

/** Converts little-endian integers to samples from −1 to 1 (full scale). A partial integer at the end is ignored. */
export function samplesOf(bytes: Uint8Array, bits: '16' | '32'): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = Number(bits) / 8;
  const samples = new Float64Array(Math.floor(bytes.length / size));
  for (let i = 0; i < samples.length; i++) {
    samples[i] = bits === '16' ? view.getInt16(2 * i, true) / 2 ** 15 : view.getInt32(4 * i, true) / 2 ** 31;
  }
  return samples;
}

/** Cuts samples into whole windows, across chunk boundaries. */
export function createWindows(windowSamples: number): (samples: Float64Array) => Float64Array[] {
  let held = new Float64Array(0);
  return (samples) => {
    const all = new Float64Array(held.length + samples.length);
    all.set(held);
    all.set(samples, held.length);
    const count = Math.floor(all.length / windowSamples);
    held = all.slice(count * windowSamples);
    return Array.from({ length: count }, (_, i) => all.subarray(i * windowSamples, (i + 1) * windowSamples));
  };
}

/** Lower limit of reported levels, dB SPL. It is below any real sound, and replaces −∞ for digital silence. */
const lowestDb = 0;

/**
 * Sound level of each channel of a window, dB SPL, unweighted: 20·log₁₀(rms·√2) − sensitivity + 94. A full-scale sine has an rms of 1/√2
 * (INMP441 data sheet: sensitivity in dBFS at 94 dB SPL). The mean, which is the microphone's DC offset, is subtracted.
 * @param window frame after frame, one value per channel, −1 to 1
 */
export function soundLevels(window: Float64Array, channels: number, sensitivityDbfs: number): number[] {
  const frames = window.length / channels;
  return Array.from({ length: channels }, (_, channel) => {
    let [sum, squares] = [0, 0];
    for (let at = channel; at < window.length; at += channels) sum += window[at]!;
    const mean = sum / frames;
    for (let at = channel; at < window.length; at += channels) squares += (window[at]! - mean) ** 2;
    const rms = Math.sqrt(squares / frames);
    return Math.max(lowestDb, 20 * Math.log10(rms * Math.SQRT2) - sensitivityDbfs + 94);
  });
}

/** Folders in which the kernel exposes sound cards; replaced in tests. */
interface SoundRoots {
  /** Default /proc. */
  proc?: string;
  /** Default /dev. */
  dev?: string;
}

/** A capture device. */
interface Microphone {
  card: number;
  device: number;
  /** The card's short name, as in `alsa://NAME`. */
  id: string;
  title: string;
}

/** ALSA's capture devices; none if the kernel has no sound support. */
export async function listMicrophones({ proc = '/proc' }: SoundRoots = {}): Promise<Microphone[]> {
  const lines = (await readText(join(proc, 'asound', 'pcm'))).split('\n');
  const found: Microphone[] = [];
  for (const line of lines) {
    // Lines have the form "01-00: HiFi voicehat-hifi-0 : snd voicehat : capture 1".
    const [, card, device, rest = ''] = /^(\d+)-(\d+): (.*)$/.exec(line) ?? [];
    const parts = rest.split(':').map((part) => part.trim());
    if (card === undefined || !parts.some((part) => part.startsWith('capture '))) continue;
    const id = (await readText(join(proc, 'asound', `card${Number(card)}`, 'id'))).trim();
    found.push({
      card: Number(card),
      device: Number(device),
      id: id || `${Number(card)}`,
      title: parts[1] || parts[0] || '',
    });
  }
  return found;
}

/**
 * ALSA's name for `CARD` or `CARD,DEVICE` in a URL. `default` and names with a colon are passed to ALSA unchanged.
 * @throws AIOT_SENSOR_NOT_FOUND listing the available cards, AIOT_SENSOR_DENIED
 */
async function pcmOf(place: string, roots: SoundRoots = {}): Promise<string> {
  if (place === '' || place === 'default' || place.includes(':')) return place || 'default';
  const [card = '', device = '0'] = place.split(',');
  const all = await listMicrophones(roots);
  const found = all.find(
    (each) => (each.id === card || `${each.card}` === card) && `${each.device}` === device,
  );
  if (!found) {
    const there = all.map(({ id, device }) => (device === 0 ? `alsa://${id}` : `alsa://${id},${device}`));
    throw new AiotError('AIOT_SENSOR_NOT_FOUND', `no sound card ${place} can record on this machine`, {
      next:
        there.length > 0 ? `Use one of ${there.join(', ')}.` : 'To list the sound cards, run `arecord -l`.',
    });
  }
  const node = join(roots.dev ?? '/dev', 'snd', `pcmC${found.card}D${found.device}c`);
  await access(node, constants.R_OK).catch((cause: unknown) => {
    throw new AiotError('AIOT_SENSOR_DENIED', `you do not have permission to record from ${place}: ${node}`, {
      endpoint: node,
      cause,
      next: 'Run `sudo usermod -aG audio $USER`, then log in again.',
    });
  });
  return `plughw:CARD=${found.id},DEV=${found.device}`;
}

function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
