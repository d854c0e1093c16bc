import { packet } from './packets.js';

export const pingResponse: Buffer = Buffer.from([packet.pingresp << 4, 0]);

export function connack(code: number, sessionPresent = false): Buffer {
  return Buffer.from([packet.connack << 4, 2, sessionPresent ? 1 : 0, code]);
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK. */
export function ack(type: number, id: number): Buffer {
  // A PUBREL's lower bits are 0010 (MQTT 3.1.1, 3.6.1).
  return Buffer.from([(type << 4) | (type === packet.pubrel ? 2 : 0), 2, id >> 8, id & 0xff]);
}

/** One code a filter: the granted QoS, or 128 for refused (MQTT 3.1.1, 3.9.3). */
export function suback(id: number, codes: readonly number[]): Buffer {
  const length = 2 + codes.length;
  const header = [packet.suback << 4];
  let rest = length;
  do {
    header.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return Buffer.from([...header, id >> 8, id & 0xff, ...codes]);
}
