import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { deferred, timeLimit, untilAborted } from '../../core/tasks.js';
import { systemClock } from '../../core/time.js';
import { hostAndPort } from '../../stream/mqtt/connect.js';
import { parseStreamUrl } from '../../stream/url.js';
import { nativeProgram, programAt } from '../native/build.js';
import { type NativeProcess, startNative } from '../native/process.js';
import type { Sensor } from '../telemetry/sensor.js';
import type { GuidePlaces } from './at-platform.js';
import { guideFields } from './messages.js';
import { type GuideEvent, guideEventSchema, type SimulateGuideOptions } from './simulate.js';

export interface NativeGuideOptions
  extends Pick<
    SimulateGuideOptions,
    'id' | 'role' | 'to' | 'sensor' | 'count' | 'forMs' | 'signal' | 'onEvent'
  > {
  places: Pick<GuidePlaces, 'devices' | 'models' | 'ca' | 'fingerprint'>;
  /** Default: built from the firmware's sources. */
  program?: string | undefined;
  onBuild?: () => void;
}

/** Maximum time from a board's activation to its connection, ms. */
const connectMs = 15_000;
/** The guide's default ports for device registry and model registry, used if an address has no port. */
const ownPorts = { devices: 30_006, models: 30_007 };

/**
 * Runs the firmware's core as a guide board in a separate process. It behaves, and emits events, like `simulateGuideBoard`.
 * @throws AIOT_STREAM_URL, AIOT_CONTEXT_KIND (pinned by a fingerprint only), AIOT_BROKER_UNREACHABLE, AIOT_PROGRAM_FAILED, and the errors
 *   of `nativeProgram` and `programAt`
 */
export async function simulateNativeGuideBoard(options: NativeGuideOptions): Promise<void> {
  const { forMs, signal, program: own, onBuild } = options;
  const settings = settingsOf(options);
  const program =
    own === undefined
      ? await nativeProgram('aiot-device', { ...(onBuild ? { onBuild } : {}), ...(signal ? { signal } : {}) })
      : await programAt(own);
  const end = timeLimit(forMs, signal);
  const folder = await mkdtemp(join(tmpdir(), 'aiot-board-'));
  try {
    const { ca } = options.places;
    if (ca !== undefined) await writeFile(join(folder, 'ca.pem'), ca);
    await writeFile(
      join(folder, 'guide.json'),
      JSON.stringify({ ...settings, ...(ca === undefined ? {} : { ca: 'ca.pem' }) }),
    );
    await run(options, program, folder, end);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function run(
  { id, role, to, sensor, count, onEvent }: NativeGuideOptions,
  program: string,
  folder: string,
  end: AbortSignal,
): Promise<void> {
  const activated = deferred();
  const connected = deferred();
  const take = (event: GuideEvent) => {
    if (event.event === 'activated') activated.resolve();
    if (event.event === 'connected') connected.resolve();
    onEvent(event);
  };
  const options = { program, folder, arguments: ['--compat'], schema: guideEventSchema };
  const board = startNative({ ...options, onEvent: take });
  const waiting = new AbortController();
  const ended = board.ended.then((error) => {
    throw error ?? new AiotError('AIOT_PROGRAM_FAILED', `board ${id} stopped`);
  });
  ended.catch(() => {});
  try {
    await untilAborted(Promise.race([activated.promise, ended]), end);
    const late = systemClock.sleep(connectMs, waiting.signal).then(() => {
      throw new AiotError('AIOT_BROKER_UNREACHABLE', `${to} did not respond within ${connectMs / 1000} s`);
    });
    late.catch(() => {});
    await untilAborted(Promise.race([connected.promise, ended, late]), end);
    waiting.abort();
    if (role === 'level-1' && (await feed(board, sensor, count, end))) await untilAborted(board.end(), end);
    else await untilAborted(ended, end);
  } catch (error) {
    if (!end.aborted) throw error;
  } finally {
    waiting.abort();
    await board.stop();
  }
}

/** Feeds one reading at a time. Returns false if the board ended before the requested count. */
async function feed(
  board: NativeProcess,
  sensor: Sensor,
  count = Number.POSITIVE_INFINITY,
  end: AbortSignal,
): Promise<boolean> {
  const started = systemClock.now();
  let readings = 0;
  for (const sample of sensor.samples()) {
    if (end.aborted) return false;
    if (readings >= count) break;
    await board.write({ reading: guideFields.map((_, i) => sample[i] ?? 0) });
    readings++;
    const due = started + (readings * 1000) / sensor.rateHz - systemClock.now();
    if (due > 0 && readings < count) await systemClock.sleep(due, end).catch(() => {});
  }
  return !end.aborted;
}

/** Contents of `guide.json`, see firmware/hal/host/guide_settings.h. */
function settingsOf({ id, role, to, places }: NativeGuideOptions) {
  const url = parseStreamUrl(to);
  const { scheme, endpoint, username } = url;
  hostAndPort(url);
  if (scheme !== 'mqtt' || username !== undefined) {
    const message = `${endpoint}: expected mqtt://HOST:PORT without a user name or password, because a native board supports nothing else`;
    throw new AiotError('AIOT_STREAM_URL', message, {
      next: 'Use the form mqtt://HOST:PORT, or omit --native.',
    });
  }
  if (places.ca === undefined && places.fingerprint !== undefined)
    throw new AiotError(
      'AIOT_CONTEXT_KIND',
      "a native board verifies the guide's services by certificate, not by fingerprint",
      {
        next: 'Run `aiot context add NAME --kind architects-guide --replace --url URL --ca FILE`, or omit --native.',
      },
    );
  return {
    id,
    role,
    registry: placeOf(places, 'devices'),
    models: placeOf(places, 'models'),
    broker: endpoint,
  };
}

/** If both registries have the same URL, the model registry is on the next port, as in the guide. */
function placeOf(places: NativeGuideOptions['places'], which: keyof typeof ownPorts): string {
  const { hostname, port } = new URL(places[which]);
  const same = places.devices === places.models && which === 'models';
  const own = port === '' ? ownPorts[which] : Number(port) + (same ? 1 : 0);
  return `https://${hostname}:${own}`;
}
