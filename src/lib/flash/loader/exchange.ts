import { op } from './commands.js';
import { NoAnswer, type Wire } from './wire.js';

export interface Answer {
  /** READ_REG's result; stale for every other request to a ROM. */
  value: number;
  /** What was asked for, without the status. */
  data: Uint8Array;
}

export interface Question {
  op: number;
  data?: Uint8Array;
  checksum?: number;
  /** Lengths of the data that the answer may have before its status (default none). */
  expect?: readonly number[];
  /** For the chip's work; the time on the wire is added. */
  timeoutMs?: number;
  /** Ask again when the answer is lost or damaged: only where asking twice does no harm. */
  tries?: number;
}

/** The chip understood and said no. */
export class Refusal extends Error {
  constructor(
    readonly op: number,
    /** A ROM's error number, or a stub's (0xc0 and above). */
    readonly status: number,
    /** The request is not known to it. */
    readonly unsupported: boolean,
  ) {
    super(`request 0x${op.toString(16)} refused with 0x${status.toString(16)}`);
    this.name = 'Refusal';
  }
}

const invalidMessage = 0x05;
/** Status numbers that may mean "your packet arrived damaged": asking again helps. */
const damaged = new Set([invalidMessage, 0x07, 0xc0, 0xc1, 0xc3]);
const notImplemented = new Set([0xc3, 0xff]);
const defaultTimeoutMs = 3000;

/**
 * One request, one answer. Traps that it stands above, all measured on mask ROMs: answers to earlier requests are left
 * out, a request that a ROM does not know is answered with the op of the one before it (after SYNC eight times), and
 * everything in a ROM's status but its first byte is stale when that is 0.
 */
export class Exchange {
  constructor(readonly wire: Wire) {}

  async ask(question: Question): Promise<Answer> {
    for (let left = (question.tries ?? 1) - 1; ; left--) {
      try {
        return await this.once(question);
      } catch (error) {
        const again = error instanceof NoAnswer || (error instanceof Refusal && damaged.has(error.status));
        if (left <= 0 || !again) throw error;
        await this.wire.drain(50);
      }
    }
  }

  private async once({ op, data, checksum, expect, timeoutMs }: Question): Promise<Answer> {
    const { wire } = this;
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
    const deadline = performance.now() + limitMs;
    for (;;) {
      const left = deadline - performance.now();
      if (left <= 0) throw new NoAnswer(Math.round(limitMs), wire.received - received);
      const answer = await this.answerTo(op, await wire.read(left), expect ?? [0]);
      if (answer) return answer;
    }
  }

  /** Null for a packet that is no answer to this request, or a damaged one. */
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
      // A ROM says it up to eight times.
      await this.wire.drain(200, 1000);
      throw new Refusal(asked, invalidMessage, true);
    }
    const length = expect.find((bytes) => body.length === bytes + 2 || body.length === bytes + 4);
    const [flag = 0, error = 0] = body.subarray(length ?? 0);
    if (length === undefined && !(isStatus(body) && flag !== 0)) return null;
    if (flag !== 0) {
      const status = flag === 1 ? error : flag;
      const unknown = notImplemented.has(status) || (status === invalidMessage && isQuery(asked));
      throw new Refusal(asked, status, unknown);
    }
    return { value: view.getUint32(4, true), data: body.subarray(0, length) };
  }
}

const isStatus = (body: Uint8Array) => body.length === 2 || body.length === 4;

/** Only such a request may be unknown to a ROM; an error under another op is otherwise a late answer. */
function isUnknownRequest(asked: number, body: Uint8Array): boolean {
  return asked !== op.sync && isStatus(body) && body[0] === 1 && body[1] === invalidMessage;
}

const isQuery = (asked: number) =>
  asked === op.securityInfo || asked === op.readReg || asked >= op.eraseFlash;
