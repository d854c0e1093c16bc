import * as z from 'zod';
import { seededRandom } from '../core/numbers.js';
import { timeLimit } from '../core/tasks.js';
import { type Clock, systemClock } from '../core/time.js';
import { connectBroker, disconnectBroker } from '../stream/mqtt/connect.js';

/** Events from a kit board. `t`: ms since 1970. */
export const kitEventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('connected'), t: z.number(), board: z.string(), broker: z.string() }),
  z.object({
    event: z.literal('sent'),
    t: z.number(),
    board: z.string(),
    topic: z.string(),
    payload: z.string(),
  }),
  /** A command for the board's actuators; a servo's position is 0 to 1. */
  z.object({
    event: z.literal('actor'),
    t: z.number(),
    board: z.string(),
    topic: z.string(),
    payload: z.string(),
  }),
  z.object({ event: z.literal('ended'), t: z.number(), board: z.string(), messages: z.int() }),
]);

export type KitEvent = z.output<typeof kitEventSchema>;

interface SimulateKitOptions {
  /** The broker: `mqtt://HOST:PORT`. */
  to: string;
  /** Iterations of the kit's loop per second; on the real kit, one iteration takes 1.5 s. */
  rateHz?: number;
  /** Number of loops after which the board stops. */
  count?: number;
  /** Time after which the board stops, ms. */
  forMs?: number;
  seed: number;
  /** MAC address, which the board uses as client id and user. */
  mac?: string;
  clock?: Clock;
  signal?: AbortSignal;
  onEvent: (event: KitEvent) => void;
}

/**
 * Simulates a board of the IoT kit as a broker sees it. It uses MQTT 3.1, its MAC address as client id and user, a
 * dummy password, QoS 0, and a NUL at the end of each payload. The board runs until `count` loops are done, its time is
 * up, or the signal is aborted.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL
 */
export async function simulateKit(options: SimulateKitOptions): Promise<void> {
  const { to, rateHz = 1 / 1.5, count = Number.POSITIVE_INFINITY, forMs, seed, signal, onEvent } = options;
  const { clock = systemClock, mac = 'aa:bb:cc:dd:ee:ff' } = options;
  const client = await connectBroker(to, {
    clientId: mac,
    username: mac,
    password: 'password',
    old: true,
    signal,
  });
  const at = () => ({ t: clock.now(), board: mac });
  const end = timeLimit(forMs, signal);
  let messages = 0;
  try {
    onEvent({ event: 'connected', ...at(), broker: to.replace(/\/\/[^/]*@/, '//') });
    client.on('message', (topic, payload) => {
      onEvent({ event: 'actor', ...at(), topic, payload: payload.toString().replace(/\0+$/, '') });
    });
    await client.subscribeAsync('iotkit/actors/#', { qos: 0 });
    const started = performance.now();
    let loop = 0;
    for (const group of kitMessages(seed)) {
      if (loop >= count || end.aborted) break;
      for (const { topic, text } of group) {
        await client.publishAsync(topic, `${text}\0`, { qos: 0 });
        messages++;
        onEvent({ event: 'sent', ...at(), topic, payload: text });
      }
      loop++;
      const due = started + (loop * 1000) / rateHz - performance.now();
      if (due > 0 && loop < count) await clock.sleep(due, end).catch(() => {});
    }
  } finally {
    await disconnectBroker(client);
  }
  onEvent({ event: 'ended', ...at(), messages });
}

/** Formats an event as one line for people, without the time. */
export function describeKitEvent(event: KitEvent): string {
  switch (event.event) {
    case 'connected':
      return `board ${event.board} is connected to ${event.broker} (MQTT 3.1)`;
    case 'sent':
      return `→ ${event.topic}  ${event.payload}`;
    case 'actor':
      return `← ${event.topic}  ${event.payload}`;
    case 'ended':
      return `stopped after ${event.messages} messages`;
  }
}

/** A message published by a board of the IoT kit, as text without the trailing NUL. */
interface KitMessage {
  topic: string;
  text: string;
}

/** Loads of the machine on which the board is mounted. The load's name is the class label in the board's readings. */
const loads = [
  { name: 'low', celsius: 24, humidity: 46 },
  { name: 'middle', celsius: 30, humidity: 40 },
  { name: 'high', celsius: 38, humidity: 33 },
] as const;

/** Number of consecutive readings under one load. */
const readingsPerLoad = 20;

const eventEvery = 7;

/**
 * Yields messages endlessly, one loop at a time. Each loop has a reading, and occasionally an event from the Hall
 * sensor, the button, the card reader or the encoder. Temperature and humidity follow the load with a delay, so that a
 * model can learn from them. The same seed yields the same messages.
 */
export function* kitMessages(seed: number): Generator<KitMessage[]> {
  const random = seededRandom(seed);
  let [celsius, humidity, turns] = [24, 46, 0];
  for (let loop = 0; ; loop++) {
    const load = loads[Math.floor(loop / readingsPerLoad) % loads.length]!;
    celsius += (load.celsius - celsius) * 0.35 + (random() - 0.5) * 1.2;
    humidity += (load.humidity - humidity) * 0.35 + (random() - 0.5) * 1.6;
    const text = `0xBC,${celsius.toFixed(2)},${humidity.toFixed(1)},${load.name}`;
    const messages: KitMessage[] = [{ topic: 'iotkit/sensor', text }];
    if (loop % eventEvery === eventEvery - 1) messages.push(event(random(), () => ++turns));
    yield messages;
  }
}

function event(chance: number, turn: () => number): KitMessage {
  if (chance < 0.25) return { topic: 'iotkit/alert', text: 'alert: hall' };
  if (chance < 0.5) return { topic: 'iotkit/button', text: 'ON' };
  if (chance < 0.75) return { topic: 'iotkit/rfid', text: '3A:7F:11:C4:' };
  return { topic: 'iotkit/encoder', text: String(turn()) };
}
