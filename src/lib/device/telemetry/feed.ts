import { onAbort } from '../../core/tasks.js';
import type { Clock } from '../../core/time.js';
import { type DeviceConfig, sampleGroup } from '../../formats/device-config.js';
import type { Inference, Telemetry } from '../protocol/messages.js';
import { type ActiveModel, type Answer, createAnswerer, inferenceOf, type ShadowRun } from './answer.js';
import type { Sensor } from './sensor.js';

interface FeedOptions {
  stream: string;
  /** Unique name of the recording that is sent. */
  recordingId: string;
  /** 1 = as recorded, 2 = twice as fast; `max` = as fast as the broker accepts. */
  speed: number | 'max';
  /** Whether to publish the samples. */
  telemetry: boolean;
  /** Whether to publish the model's predictions. */
  predict: boolean;
  /** Time of the first sample, ms since 1970. */
  startedAt: number;
  /** Whether the sensor never ends, so that an abort is its normal end, not an error. */
  endless?: boolean;
  /**
   * Whether to send no predictions until there is a model that fits the sensor, instead of throwing at the start;
   * default: `endless`.
   */
  waits?: boolean | undefined;
  signal?: AbortSignal;
}

export interface FeedResult {
  samples: number;
  /** Number of telemetry messages. */
  messages: number;
  inferences: number;
  seconds: number;
}

interface FeedPorts {
  clock: Clock;
  /** The model currently in use. An update may replace it in the middle of a recording. */
  model(): ActiveModel | null;
  /** The shadow currently running. */
  shadow?(): ShadowRun | null;
  /**
   * Called for each model that comes into use, with the reason if it does not fit the sensor; null = the model fits.
   */
  onModel?(unfit: string | null): void;
  /** The configuration currently in use. */
  config(): DeviceConfig;
  publishTelemetry(stream: string, message: Telemetry): Promise<void>;
  publishInference(message: Omit<Inference, 'seq'>): Promise<void>;
}

/** Maximum number of publishes that wait for their PUBACK. */
const inFlightLimit = 16;

/**
 * Sends a sensor's samples as telemetry, in column batches of about one second each, and the model's prediction for
 * each window. Resolves when the sensor has ended and the broker has acknowledged everything.
 * @throws AIOT_DEVICE_NO_MODEL, AIOT_RECORDING_UNFIT before anything is sent, unless `waits` is set; the signal's
 * reason; errors of the broker
 */
export async function feed(sensor: Sensor, options: FeedOptions, ports: FeedPorts): Promise<FeedResult> {
  const { clock } = ports;
  const { speed, signal, recordingId } = options;
  const inFlight = createInFlight(inFlightLimit, options.endless ? undefined : signal);
  const result: FeedResult = { samples: 0, messages: 0, inferences: 0, seconds: 0 };
  const started = clock.now();
  let { startedAt } = options;
  let columns: number[][] = sensor.fields.map(() => []);
  let use = useOf(sensor, options, ports);

  const send = async () => {
    const count = columns[0]?.length ?? 0;
    if (count === 0) return;
    const message: Telemetry = {
      seq: result.messages++,
      t: startedAt + ((result.samples - count) * 1000) / use.rateHz,
      rate: use.rateHz,
      recording: recordingId,
    };
    sensor.fields.forEach((field, f) => {
      message[field] = columns[f];
    });
    columns = sensor.fields.map(() => []);
    await inFlight.add(() => ports.publishTelemetry(options.stream, message));
  };
  /**
   * Applies a new configuration. Earlier samples keep their times, and the next ones continue from there. As on a board, the model's window,
   * state and smoothing continue, unless the rate has changed. In C: aiot_device_retake in firmware/core/src/device/take.c.
   */
  const reconfigure = async () => {
    await send();
    const before = use;
    use = useOf(sensor, options, ports, before);
    startedAt += (result.samples * 1000) / before.rateHz - (result.samples * 1000) / use.rateHz;
  };
  const take = async (sample: ArrayLike<number>) => {
    const answered = use.answer?.(sample);
    result.samples++;
    if (use.telemetry) {
      columns.forEach((column, f) => {
        column.push(sample[f] as number);
      });
      if (columns[0]?.length === use.batchSamples) await send();
    }
    if (answered) {
      const inference = inferenceOf(answered, recordingId, clock.now());
      result.inferences++;
      await inFlight.add(() => ports.publishInference(inference));
    }
  };

  try {
    let read = 0;
    for (const sample of sensor.samples()) {
      if (speed !== 'max') {
        const due = started + (read * 1000) / (sensor.rateHz * speed);
        // Waits of up to 10 ms are skipped, because timers are too coarse. Later waits compensate for the difference.
        if (due - clock.now() > 10) await clock.sleep(due - clock.now(), signal).catch(() => {});
      }
      if (signal?.aborted && options.endless) break;
      signal?.throwIfAborted();
      read++;
      if (ports.config() !== use.config) await reconfigure();
      const used = use.grouped(sample);
      if (used) await take(used);
    }
    await send();
    await inFlight.drained();
  } finally {
    inFlight.end();
  }
  return { ...result, seconds: (clock.now() - started) / 1000 };
}

/** How samples are processed under one configuration. */
interface SampleUse {
  config: DeviceConfig;
  /** Rate of the samples after grouping, Hz. */
  rateHz: number;
  /** Whether samples are published, and the number of samples per message. */
  telemetry: boolean;
  batchSamples: number;
  /** Returns the mean of each group of samples; null within a group. */
  grouped(sample: ArrayLike<number>): ArrayLike<number> | null;
  answer: ((sample: ArrayLike<number>) => Answer | null) | null;
}

/**
 * Applies the configuration to the sensor. A configured rate is ignored if the sensor's rate is not a multiple of it.
 * @param before the use until now; absent at the start. A model that does not fit the new rate then predicts nothing
 * @throws AIOT_DEVICE_NO_MODEL, AIOT_RECORDING_UNFIT, both only at the start
 */
function useOf(sensor: Sensor, options: FeedOptions, ports: FeedPorts, before?: SampleUse): SampleUse {
  const config = ports.config();
  const group = sampleGroup(config, sensor.rateHz) ?? 1;
  const rateHz = sensor.rateHz / group;
  return {
    config,
    rateHz,
    telemetry: options.telemetry && config.telemetry.publish,
    batchSamples: Math.max(1, Math.round((rateHz * config.telemetry.intervalMs) / 1000)),
    grouped: group === 1 ? (sample) => sample : meansOf(sensor.fields.length, group),
    answer:
      before?.rateHz === rateHz ? before.answer : answererOf({ ...sensor, rateHz }, options, ports, before),
  };
}

function answererOf(sensor: Sensor, options: FeedOptions, ports: FeedPorts, before?: SampleUse) {
  if (!options.predict) return null;
  return createAnswerer(sensor, {
    model: () => ports.model(),
    shadow: ports.shadow,
    waits: before !== undefined || (options.waits ?? options.endless ?? false),
    onModel: ports.onModel,
  });
}

function meansOf(fields: number, group: number): SampleUse['grouped'] {
  let sums = new Float64Array(fields);
  let count = 0;
  return (sample) => {
    for (let f = 0; f < fields; f++) sums[f] = (sums[f] as number) + (sample[f] as number);
    if (++count < group) return null;
    const means = sums.map((sum) => sum / group);
    sums = new Float64Array(fields);
    count = 0;
    return means;
  };
}

/** Limits the number of unacknowledged publishes; further publishes wait. */
interface InFlight {
  /** Starts `send` when there is room. Resolves when it has started, not when it is acknowledged. Rejects once any send has failed. */
  add(send: () => Promise<void>): Promise<void>;
  /** Resolves when all publishes are acknowledged. */
  drained(): Promise<void>;
  /** Removes the listener from the signal, which may outlive many of these objects. */
  end(): void;
}

/** Creates the limit. An abort ends a wait, which rejects with the signal's reason. */
export function createInFlight(limit: number, signal?: AbortSignal): InFlight {
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal?.reason);
  });
  const leave = onAbort(signal, stop);
  aborted.catch(() => {});
  const check = () => {
    if (failure) throw failure.error;
  };
  return {
    async add(send) {
      while (running.size >= limit) await Promise.race([...running, aborted]);
      check();
      const sent: Promise<void> = send()
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => running.delete(sent));
      running.add(sent);
    },
    async drained() {
      await Promise.race([Promise.all(running), aborted]);
      check();
    },
    end: () => leave(),
  };
}
