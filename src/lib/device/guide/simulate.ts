import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { timeLimit } from '../../core/tasks.js';
import { type Clock, systemClock } from '../../core/time.js';
import { elementCount } from '../../formats/tflite/graph.js';
import { readTflite } from '../../formats/tflite/read.js';
import { createInterpreter } from '../../runtime/interpreter/interpreter.js';
import { floatView } from '../../runtime/litert.js';
import { connectBroker, disconnectBroker } from '../../stream/mqtt/connect.js';
import type { Sensor } from '../telemetry/sensor.js';
import {
  type GuideReading,
  guideFields,
  guideTopics,
  level1Message,
  level2Message,
  longestGuideMessage,
  readControl,
  readSensorMessage,
  sensorMessage,
} from './messages.js';

const at = { board: z.string(), t: z.int() };

/** Events from a guide board. `t`: ms since 1970. */
export const guideEventSchema = z.discriminatedUnion('event', [
  /** The registry has not confirmed the board yet, so the board will ask again. */
  z.object({ event: z.literal('waiting'), ...at }),
  z.object({ event: z.literal('activated'), ...at }),
  z.object({ event: z.literal('connected'), ...at, broker: z.string() }),
  z.object({ event: z.literal('sent'), ...at, topic: z.string(), payload: z.string() }),
  z.object({ event: z.literal('model'), ...at, name: z.string(), bytes: z.int() }),
  z.object({ event: z.literal('inference'), ...at, of: z.string(), value: z.number() }),
  z.object({ event: z.literal('servo'), ...at, on: z.boolean() }),
  /** A message or model was invalid. */
  z.object({ event: z.literal('refused'), ...at, message: z.string() }),
  z.object({ event: z.literal('ended'), ...at, messages: z.int() }),
]);

export type GuideEvent = z.output<typeof guideEventSchema>;

/** An event without the members common to all events. */
type GuideNews = GuideEvent extends infer E ? (E extends GuideEvent ? Omit<E, 'board' | 't'> : never) : never;

/** Formats an event as one line for people, without the time. */
export function describeGuideEvent(event: GuideEvent): string {
  switch (event.event) {
    case 'waiting':
      return `board ${event.board} is not activated: checking again in 3 s`;
    case 'activated':
      return `board ${event.board} is activated`;
    case 'connected':
      return `connected to ${event.broker}`;
    case 'sent':
      return `→ ${event.topic}  ${event.payload}`;
    case 'model':
      return `received the model ${event.name}, ${event.bytes} bytes`;
    case 'inference':
      return `${event.of}: ${event.value.toFixed(6)}`;
    case 'servo':
      return `servo ${event.on ? 'on' : 'off'}`;
    case 'refused':
      return `rejected: ${event.message}`;
    case 'ended':
      return `stopped after ${event.messages} messages`;
  }
}

/**
 * `level-1` reads sensors, controls actuators and publishes. `level-2` runs another model on other boards' readings.
 */
type GuideRole = 'level-1' | 'level-2';

/** The guide's HTTP services, as used by a board. */
export interface GuideServices {
  /** Whether the registry answers TRUE for this id. */
  confirmed(id: string): Promise<boolean>;
  /** Downloads a model from the `/quantized/` folder. */
  download(name: string): Promise<Uint8Array>;
}

export interface SimulateGuideOptions {
  /** The decimal chip id. */
  id: string;
  role: GuideRole;
  /** The broker: `mqtt://HOST:PORT`. */
  to: string;
  services: GuideServices;
  /** For level 1: current, temperature, vibration and sound, in this order. The sensor's rate is the message rate. */
  sensor: Sensor;
  /** Number of readings after which the board ends. */
  count?: number | undefined;
  /** Time after which the board ends, ms. */
  forMs?: number | undefined;
  clock?: Clock;
  signal?: AbortSignal;
  onEvent: (event: GuideEvent) => void;
}

/** Interval between requests to the registry, ms, as in the guide's firmware. */
const askEveryMs = 3000;

/**
 * Level 2 publishes predictions above this value. The guide's thresholds are 0.5 for a possible failure and 0.8 for an
 * immediate failure.
 */
const alertAbove = 0.5;

/**
 * Simulates a board that uses the guide's topics and payloads. The board publishes nothing until `/confirmActivation`
 * returns TRUE, and loads the model that a `download-model` message requests. Its servo follows the model's prediction
 * without the help of another program.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL
 */
export async function simulateGuideBoard(options: SimulateGuideOptions): Promise<void> {
  const { id, role, to, services, forMs, signal, clock = systemClock } = options;
  const emit = (news: GuideNews) => options.onEvent({ board: id, t: clock.now(), ...news } as GuideEvent);
  const end = timeLimit(forMs, signal);
  let messages = 0;
  if (!(await activated(id, services, { clock, emit, end }))) return emit({ event: 'ended', messages });

  const client = await connectBroker(to, { clientId: id, signal: end });
  let network: GuideNetwork | null = null;
  const publish = async (topic: string, payload: Buffer) => {
    if (payload.length > longestGuideMessage)
      return emit({
        event: 'refused',
        message: `${topic}: the payload of ${payload.length} bytes is too large for small clients`,
      });
    await client.publishAsync(topic, payload, { qos: 0 });
    messages++;
    emit({ event: 'sent', topic, payload: payload.toString() });
  };
  const infer = (of: string, reading: GuideReading): number | null => {
    const value = network?.infer(reading) ?? null;
    if (value !== null) emit({ event: 'inference', of, value });
    return value;
  };
  const take = async (name: string) => {
    try {
      const bytes = await services.download(name);
      network = openGuideNetwork(name, bytes);
      emit({ event: 'model', name, bytes: bytes.length });
    } catch (error) {
      // If the new model is invalid, the current one remains in use.
      emit({ event: 'refused', message: error instanceof Error ? error.message : String(error) });
    }
  };
  const hear = async (topic: string, payload: Buffer) => {
    if (topic === guideTopics.control) {
      const control = readControl(payload);
      if (!control) return emit({ event: 'refused', message: `${topic}: not a control message for a board` });
      if (control.command === 'download-model') await take(control.payload);
      return;
    }
    const other = readSensorMessage(payload);
    const value = other && other.id !== id ? infer(other.id, other.reading) : null;
    if (!other || value === null || !network || !(value > alertAbove)) return;
    const alert = { reading: other.reading, inference: value, model: network.name, time: clock.now() };
    await publish(guideTopics.level2, level2Message(other.id, alert));
  };
  client.on('message', (topic, payload) => void hear(topic, payload).catch(() => {}));
  try {
    const topics = role === 'level-1' ? [guideTopics.control] : [guideTopics.control, guideTopics.data];
    const granted = await client.subscribeAsync(topics, { qos: 0 });
    if (granted.some(({ qos }) => qos > 2))
      throw new AiotError(
        'AIOT_BROKER_REFUSED',
        `${to}: not permitted to subscribe to ${topics.join(' and ')}`,
      );
    emit({ event: 'connected', broker: to.replace(/\/\/[^/]*@/, '//') });
    if (role === 'level-1') await sense(options, { clock, emit, end, publish, infer });
    else await clock.sleep(2 ** 31 - 1, end).catch(() => {});
  } finally {
    await disconnectBroker(client);
  }
  emit({ event: 'ended', messages });
}

interface Work {
  clock: Clock;
  emit: (news: GuideNews) => void;
  end: AbortSignal;
}

/**
 * Polls the registry until it answers TRUE; returns false if the time is up first. Polling continues while the registry
 * is unreachable.
 */
async function activated(id: string, services: GuideServices, { clock, emit, end }: Work): Promise<boolean> {
  while (!end.aborted) {
    if (await services.confirmed(id).catch(() => false)) {
      emit({ event: 'activated' });
      return true;
    }
    emit({ event: 'waiting' });
    await clock.sleep(askEveryMs, end).catch(() => {});
  }
  return false;
}

interface Sensing extends Work {
  publish: (topic: string, payload: Buffer) => Promise<void>;
  infer: (of: string, reading: GuideReading) => number | null;
}

/** Processes one reading at a time: publishes it, runs the model on it, and sets the actuators. */
async function sense(
  { id, sensor, count = Number.POSITIVE_INFINITY }: SimulateGuideOptions,
  { clock, emit, end, publish, infer }: Sensing,
): Promise<void> {
  const rule = createRule();
  const started = clock.now();
  let readings = 0;
  for (const [current = 0, temperature = 0, vibration = 0, sound = 0] of sensor.samples() as Iterable<
    number[]
  >) {
    if (end.aborted || readings >= count) break;
    const reading = { current, temperature, vibration, sound };
    await publish(guideTopics.data, sensorMessage(id, reading));
    const value = infer(id, reading);
    if (rule.step(value, clock.now())) emit({ event: 'servo', on: rule.on });
    if (value !== null && value > usualRule.onAbove)
      await publish(guideTopics.level1, level1Message(id, reading, value));
    readings++;
    const due = started + (readings * 1000) / sensor.rateHz - clock.now();
    if (due > 0 && readings < count) await clock.sleep(due, end).catch(() => {});
  }
}

/** The guide's model. The inputs are four unscaled readings; the output is the probability of a failure. */
interface GuideNetwork {
  name: string;
  infer(reading: GuideReading): number;
}

/** @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED, AIOT_MODEL_UNFIT (unexpected inputs or outputs) */
export function openGuideNetwork(name: string, bytes: Uint8Array): GuideNetwork {
  const graph = readTflite(bytes);
  const interpreter = createInterpreter(floatView(graph));
  const [inputs = '', outputs = ''] = [interpreter.inputTensors, interpreter.outputTensors].map((tensors) =>
    tensors.map(({ shape }) => elementCount(shape)).join(' + '),
  );
  if (inputs !== String(guideFields.length) || outputs !== '1') {
    const message = `${name}: expected ${guideFields.length} values in and 1 out, got ${inputs} and ${outputs}`;
    throw new AiotError('AIOT_MODEL_UNFIT', message);
  }
  return {
    name,
    infer(reading) {
      const [value = Number.NaN] = interpreter.invoke(
        Float32Array.from(guideFields, (field) => reading[field]),
      );
      return value;
    },
  };
}

/** Settings of an actuator with hysteresis and minimum durations, like aiot_rule in firmware/core. */
interface RuleSpec {
  onAbove: number;
  offBelow: number;
  /** Minimum duration of each state, ms. */
  leastMs: number;
  /** Time without a prediction after which the actuator is switched off, ms. */
  lossMs: number;
}

const usualRule: RuleSpec = { onAbove: 0.8, offBelow: 0.7, leastMs: 5000, lossMs: 30_000 };

interface Rule {
  readonly on: boolean;
  /** Processes a prediction; null = no prediction. Returns whether the state changed. */
  step(answer: number | null, nowMs: number): boolean;
}

/** The rule is initially off, without a minimum duration, so that it reacts to the first fault immediately. */
export function createRule(spec: RuleSpec = usualRule): Rule {
  let on = false;
  let since = Number.NEGATIVE_INFINITY;
  let answered: number | null = null;
  const turn = (to: boolean, at: number) => {
    if (to === on) return false;
    on = to;
    since = at;
    return true;
  };
  return {
    get on() {
      return on;
    },
    step(answer, at) {
      answered ??= at;
      if (answer === null || Number.isNaN(answer)) return at - answered > spec.lossMs && turn(false, at);
      answered = at;
      const wanted = on ? !(answer < spec.offBelow) : answer > spec.onAbove;
      return wanted !== on && at - since >= spec.leastMs && turn(wanted, at);
    },
  };
}
