import { AiotError, type Clock, systemClock } from '../../core/index.js';
import type { SampleBatch, SampleField, SampleSource, SourceFaults } from '../types.js';
import { parseSensorUrl } from '../url.js';
import { createBatches } from './batches.js';
import { pcmOf, type SoundRoots } from './cards.js';
import { type Recorder, startRecorder } from './child.js';
import { arecordArguments, type MicrophoneSettings, microphoneSettings } from './settings.js';

export interface MicrophoneOptions extends SoundRoots {
  /** Default = the system's. */
  clock?: Clock;
  /** What records; default arecord. */
  program?: string;
}

/** Longest time without a sample, ms. */
const stallMs = 3_000;
/** Waits before arecord is started again, ms; after the last of them the microphone counts as lost. */
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
 * Opens a microphone by ALSA's arecord: `alsa://default`, `alsa://CARD` or `alsa://CARD,DEVICE`, with `?rate=16000&channels=1`.
 * Samples of −1 to 1, or with `?level=125` sound levels, dB SPL. Resolves when the first samples are there; arecord is started again
 * when it ends.
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

/** What arecord gives, run after run. */
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
  const reason = said.split('\n').at(-1) || `${program} ended with code ${code}`;
  return new AiotError(given ? 'AIOT_SENSOR_LOST' : 'AIOT_SENSOR_FAILED', `${endpoint}: ${reason}`, {
    endpoint,
    retryable: true,
    ...(given ? {} : { next: 'arecord -l lists what records; it may be in use, or not do this rate.' }),
  });
}
