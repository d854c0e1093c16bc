/** A message of a measurement: JSON, padded to its size, so that every tool can read it. */
export interface Probe {
  run: string;
  /** -1 for those that only ask whether the reader is there. */
  number: number;
  /** `performance.now()` of the sender, ms. */
  sent: number;
}

/** Bytes that a probe has at least. */
export const smallestProbe = 80;

export function encodeProbe({ run, number, sent }: Probe, size: number): Buffer {
  const text = `{"bench":"${run}","n":${number},"sent":${sent.toFixed(3)},"pad":"`;
  return Buffer.from(`${text}${'x'.repeat(Math.max(0, size - text.length - 2))}"}`);
}

const form = /^\{"bench":"([0-9a-f]+)","n":(-?\d+),"sent":(\d+\.\d+),/;

/** undefined = somebody else's message. */
export function decodeProbe(payload: Uint8Array): Probe | undefined {
  const head = Buffer.from(payload.buffer, payload.byteOffset, Math.min(payload.length, smallestProbe));
  const [, run, number, sent] = form.exec(head.toString('latin1')) ?? [];
  return run === undefined ? undefined : { run, number: Number(number), sent: Number(sent) };
}
