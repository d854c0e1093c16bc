import { hex } from '../../core/figures.js';
import { isGreetingAnswer, NoAnswer, syncRequest, type Wire } from './wire.js';

/**
 * Requests of the ROM loader and of the flasher stub. Source: Espressif, "Serial Protocol" in the documentation of esptool. Requests that
 * only the stub supports begin at 0xd0.
 */
export const op = {
  flashBegin: 0x02,
  flashData: 0x03,
  flashEnd: 0x04,
  memBegin: 0x05,
  memEnd: 0x06,
  memData: 0x07,
  sync: syncRequest,
  writeReg: 0x09,
  readReg: 0x0a,
  spiSetParams: 0x0b,
  spiAttach: 0x0d,
  readFlashSlow: 0x0e,
  changeBaud: 0x0f,
  deflBegin: 0x10,
  deflData: 0x11,
  deflEnd: 0x12,
  md5: 0x13,
  securityInfo: 0x14,
  eraseFlash: 0xd0,
  eraseRegion: 0xd1,
  readFlash: 0xd2,
} as const;

export const sectorBytes = 0x1000;

/** Initial speed of a ROM loader, bits per second. */
export const romBaud = 115_200;

/** Encodes 32-bit little-endian words, the fields of all requests. */
export function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value >>> 0, true);
  return bytes;
}

/** XOR of the payload, starting with 0xef. */
export function checksum(payload: Uint8Array): number {
  let sum = 0xef;
  for (const byte of payload) sum ^= byte;
  return sum;
}

/** A block of data with its sub-header: length, sequence number, two zeros. */
export function block(payload: Uint8Array, sequence: number): Uint8Array {
  const data = new Uint8Array(16 + payload.length);
  data.set(words(payload.length, sequence, 0, 0));
  data.set(payload, 16);
  return data;
}

/** Limits for requests that a chip answers at once and that may be repeated. A lost answer delays them by only a second. */
export const quick = { timeoutMs: 1000, tries: 4 } as const;

/** Timeout for an operation on this many bytes of flash, ms: at least 3 s. */
export function flashTimeMs(bytes: number, secondsPerMB: number): number {
  return Math.max(3000, (secondsPerMB * bytes) / 1000);
}

interface Answer {
  /** Value in the answer: the result of READ_REG. For any other request to a ROM, it is stale. */
  value: number;
  /** The answer's data, without the status. */
  data: Uint8Array;
}

interface Question {
  op: number;
  data?: Uint8Array;
  checksum?: number;
  /** Possible lengths of the answer's data before its status (default none). */
  expect?: readonly number[];
  /** Time that the chip needs for the work, ms; the transmission time is added. */
  timeoutMs?: number;
  /** Number of attempts if the answer is lost or damaged. More than one is allowed only if repeating the request is harmless. */
  tries?: number;
}

/** Thrown if the chip understood the request and rejected it. */
export class Refusal extends Error {
  constructor(
    readonly op: number,
    /** A ROM's error number, or a stub's (0xc0 and above). */
    readonly status: number,
    /** Whether the chip does not support the request. */
    readonly unsupported: boolean,
  ) {
    super(`request ${hex(op)} rejected with ${hex(status)}`);
    this.name = 'Refusal';
  }
}

const invalidMessage = 0x05;

/** Status numbers that may mean that the packet was damaged in transit, so that repeating the request may help. */
const damaged = new Set([invalidMessage, 0x07, 0xc0, 0xc1, 0xc3]);

const notImplemented = new Set([0xc3, 0xff]);

const defaultTimeoutMs = 3000;

/** Timeout for the answer to a greeting that is sent after a request timed out, ms. */
const probeMs = 3000;

const probes = 2;

const greetings = { times: 5, timeoutMs: 1000 };

/**
 * Number of late or lost answers after which the line is considered unusable, because each of them takes seconds. Enough timely answers
 * in between reset the count.
 */
const lateInARow = 4;

const answersThatForgive = 20;

/**
 * Sends one request at a time and returns its answer. Answers to earlier requests are skipped. Handles these quirks of mask ROMs, which
 * were measured: a ROM answers an unknown request with the op of the previous one (eight times after SYNC). If the first byte of a ROM's
 * status is 0, its other bytes are stale.
 *
 * An answer does not show to which of two requests with the same op it belongs, and may be seconds late (a loaded emulator, a
 * network). However, answers arrive in the order of the requests. After a missing answer, therefore, no request is sent until a
 * greeting has been answered. By then, the late answer has arrived or never will.
 */
export class Exchange {
  /** Whether answers to earlier requests may still arrive. */
  private unsure = false;
  /** Number of greetings sent after the pending request. */
  private probed = 0;
  /** Number of late answers, and of timely answers since the last late one. */
  private late = 0;
  private answered = 0;

  constructor(readonly wire: Wire) {}

  async ask(question: Question): Promise<Answer> {
    const tries = question.tries ?? 1;
    for (let left = tries - 1; ; left--) {
      if (this.unsure && !(await this.comeIntoStep())) {
        throw new NoAnswer(greetings.times * greetings.timeoutMs, 0);
      }
      try {
        const answer = await this.once(question);
        if (answer) return answer;
        if (left <= 0) throw new NoAnswer(question.timeoutMs ?? defaultTimeoutMs, 0);
      } catch (error) {
        if (left <= 0 || !(error instanceof Refusal && damaged.has(error.status))) throw error;
        await this.wire.drain(50);
      }
    }
  }

  /**
   * Sends greetings until one is answered, and discards everything still in transit. Afterwards, no answer to an earlier request can
   * arrive.
   * @returns which loader answered, or null if none did
   */
  async comeIntoStep({ times, timeoutMs } = greetings): Promise<'rom' | 'stub' | null> {
    const { wire } = this;
    for (let i = 0; i < times; i++) {
      const by = await sync(wire, timeoutMs);
      if (!by) continue;
      await wire.drain(50, 3000);
      // If all answers may belong to earlier greetings, a long silence shows that no more are in transit.
      if (wire.greetingsOwed >= answersOfOne * (i + 1)) await this.silence();
      this.unsure = false;
      return by;
    }
    this.unsure = true;
    return null;
  }

  /** Called when an answer or another packet shows that all earlier requests have been answered. */
  inStep(): void {
    this.unsure = false;
    this.wire.greetingsOwed = Math.min(this.wire.greetingsOwed, answersOfOne * this.probed);
  }

  /** Sends a request once. @returns null if the answer is certainly lost; the request may then be repeated, if that is harmless */
  private async once(question: Question): Promise<Answer | null> {
    const { wire } = this;
    const { op, data, checksum, timeoutMs, tries = 1 } = question;
    const body = data ?? new Uint8Array(0);
    const packet = new Uint8Array(8 + body.length);
    const view = new DataView(packet.buffer);
    view.setUint8(1, op);
    view.setUint16(2, body.length, true);
    view.setUint32(4, checksum ?? 0, true);
    packet.set(body, 8);
    wire.flush();
    const limitMs = (timeoutMs ?? defaultTimeoutMs) + wire.timeOf(packet.length + 64);
    const { received } = wire;
    await wire.write(packet);
    this.unsure = true;
    this.probed = 0;
    const answer = await this.within(limitMs, question);
    if (answer) {
      this.answered++;
      this.inStep();
      return answer;
    }
    return await this.probe(question, tries > 1 && this.isWorthMore() ? probes : 0, () => {
      throw new NoAnswer(Math.round(limitMs), wire.received - received);
    });
  }

  /** Sends greetings after a request whose answer is late. The next packet shows whether the answer is late or lost. */
  private async probe(question: Question, times: number, silent: () => never): Promise<Answer | null> {
    const { wire } = this;
    const heard = { greetings: 0, earlier: wire.greetingsOwed };
    while (this.probed < times) {
      this.probed++;
      await sendSync(wire);
      const answer = await this.within(probeMs, question, heard);
      if (answer === undefined) continue;
      this.inStep();
      await wire.drain(100, 3000);
      return answer;
    }
    if (heard.greetings === 0) return silent();
    await this.silence();
    this.unsure = false;
    return null;
  }

  /** Waits for a silence after which no further packets are expected. */
  private async silence(): Promise<void> {
    await this.wire.drain(probeMs, 4 * probeMs);
    this.wire.greetingsOwed = 0;
  }

  /** Whether waiting for another late answer is worthwhile. */
  private isWorthMore(): boolean {
    if (this.answered >= answersThatForgive) this.late = 0;
    this.answered = 0;
    return ++this.late <= lateInARow;
  }

  /**
   * Waits for the answer. @param heard number of answers to greetings so far, and of those that may still arrive for greetings sent
   * before the request
   * @returns the answer, null if a later greeting was answered instead, undefined at the timeout
   */
  private async within(
    limitMs: number,
    { op, expect }: Question,
    heard = { greetings: 0, earlier: Number.POSITIVE_INFINITY },
  ): Promise<Answer | null | undefined> {
    const deadline = this.wire.now() + limitMs;
    for (;;) {
      const left = deadline - this.wire.now();
      if (left <= 0) return undefined;
      const packet = await this.wire.read(left).catch((error) => {
        if (error instanceof NoAnswer) return null;
        throw error;
      });
      if (!packet) return undefined;
      if (isGreetingAnswer(packet) && ++heard.greetings > heard.earlier) return null;
      const answer = await this.answerTo(op, packet, expect ?? [0]);
      if (answer) return answer;
    }
  }

  /** The answer in a packet; null if the packet is damaged or does not answer this request. */
  private async answerTo(
    asked: number,
    packet: Uint8Array,
    expect: readonly number[],
  ): Promise<Answer | null> {
    if (packet.length < 10 || packet[0] !== 1) return null;
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    const body = packet.subarray(8);
    if (packet[1] !== asked) {
      if (packet[1] === undefined || !isUnknownRequest(asked, body)) return null;
      // A ROM repeats this answer up to eight times. `unsure` remains set, because more answers may follow.
      await this.wire.drain(200, 1000);
      throw new Refusal(asked, invalidMessage, !knownToAll.has(asked));
    }
    const length = expect.find((bytes) => body.length === bytes + 2 || body.length === bytes + 4);
    const [flag = 0, error = 0] = body.subarray(length ?? 0);
    if (length === undefined && !(isStatus(body) && flag !== 0)) return null;
    if (flag !== 0) {
      this.inStep();
      const status = flag === 1 ? error : flag;
      const unknown = notImplemented.has(status) || (status === invalidMessage && isQuery(asked));
      throw new Refusal(asked, status, unknown);
    }
    return { value: view.getUint32(4, true), data: body.subarray(0, length) };
  }
}

const isStatus = (body: Uint8Array) => body.length === 2 || body.length === 4;

/** Whether an error with another op means that a ROM does not support the request. Any other packet with another op is a late answer. */
function isUnknownRequest(asked: number, body: Uint8Array): boolean {
  return asked !== op.sync && isStatus(body) && body[0] === 1 && body[1] === invalidMessage;
}

/**
 * Requests that every ROM supports, even in secure download mode (memory uploads are requested only outside of it). If a ROM
 * reports one of them as unknown, the request was damaged in transit.
 */
const knownToAll: ReadonlySet<number> = new Set([
  op.flashBegin,
  op.flashData,
  op.flashEnd,
  op.memBegin,
  op.memData,
  op.memEnd,
  op.spiSetParams,
  op.spiAttach,
  op.changeBaud,
  op.deflBegin,
  op.deflData,
  op.deflEnd,
]);

const isQuery = (asked: number) =>
  asked === op.securityInfo || asked === op.readReg || asked >= op.eraseFlash;

const answersOfOne = 8;

const request = Uint8Array.from([
  0,
  op.sync,
  36,
  0,
  0,
  0,
  0,
  0,
  0x07,
  0x07,
  0x12,
  0x20,
  ...Array(32).fill(0x55),
]);

/** Sends SYNC without waiting. @returns the number of answers that may arrive before one that certainly belongs to this SYNC */
async function sendSync(wire: Wire): Promise<number> {
  const earlier = wire.greetingsOwed;
  wire.greetingsOwed += answersOfOne;
  await wire.write(request);
  return earlier;
}

/**
 * Sends one greeting. A ROM answers eight times, with the greeting's own bytes as value. A flasher stub answers with value 0.
 * @returns which loader answered, or null if none did
 */
export async function sync(wire: Wire, timeoutMs: number): Promise<'rom' | 'stub' | null> {
  wire.flush();
  const earlier = await sendSync(wire);
  const values: number[] = [];
  try {
    const deadline = wire.now() + timeoutMs + wire.timeOf(256);
    while (values.length < earlier + answersOfOne) {
      // After the first answer, the others follow at once. If one of them is lost, the greeting must not fail.
      const left = values.length > 0 ? 100 : deadline - wire.now();
      if (left <= 0) break;
      const packet = await wire.read(left);
      wire.echoed ||= packet.length === request.length && packet[0] === 0 && packet[1] === op.sync;
      if (!isGreetingAnswer(packet)) continue;
      values.push(new DataView(packet.buffer, packet.byteOffset).getUint32(4, true));
    }
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
  }
  if (values.length === 0) return null;
  const own = values.length > earlier ? values.slice(earlier) : values;
  return own.every((value) => value === 0) ? 'stub' : 'rom';
}
