import { seededRandom } from '../../core/index.js';

/** What a board of the IoT kit publishes, as text without the NUL that it ends with. */
export interface KitMessage {
  topic: string;
  text: string;
}

/** How hard the machine works that the kit's board sits on; the word is the class in its readings. */
const loads = [
  { name: 'low', celsius: 24, humidity: 46 },
  { name: 'middle', celsius: 30, humidity: 40 },
  { name: 'high', celsius: 38, humidity: 33 },
] as const;

/** Readings in a row under one load, and those of one loop in which something else happens. */
const readingsPerLoad = 20;
const eventEvery = 7;

/**
 * The messages of one loop after the other, without an end: a reading each time, and now and then a magnet at the Hall sensor, the
 * button, a card or the encoder. Temperature and humidity follow the load with a delay, so that there is something to learn; the
 * same seed gives the same messages.
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
