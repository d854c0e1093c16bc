import { op } from './commands.js';
import { isGreetingAnswer, NoAnswer, type Wire } from './wire.js';

interface Answer {
  /** READ_REG's result; stale for every other request to a ROM. */
  value: number;
  /** What was asked for, without the status. */
  data: Uint8Array;
}

interface Question {
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

/** How long the answer to a greeting is waited for that is sent after an answer did not come in time. */
const probeMs = 3000;

const probes = 2;
const greetings = { times: 5, timeoutMs: 1000 };

/** So many late or lost answers with few good ones between, and the line is given up: each of them takes seconds. */
const lateInARow = 4;

const answersThatForgive = 20;

/**
 * One request, one answer. Traps that it stands above, all measured on mask ROMs: answers to earlier requests are left
 * out, a request that a ROM does not know is answered with the op of the one before it (after SYNC eight times), and
 * everything in a ROM's status but its first byte is stale when that is 0.
 *
 * An answer does not say which of two requests with the same op it is to, and may be seconds late (a loaded emulator, a
 * network). But answers come in the order of the requests: so nothing is asked again, and nothing else is asked, before
 * a greeting is answered that was sent after it. Then the late answer has come, or never will.
 */
export class Exchange {
  /** Answers to earlier requests may still come. */
  private unsure = false;
  /** Greetings sent behind the request that is waited for. */
  private probed = 0;
  /** Answers that did not come in time, and those that did since the last of them. */
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
   * Greets until an answer comes, and lets pass what is still on its way: afterwards nothing that was asked before can be
   * answered any more.
   *
   * @returns who answered, or null when nobody did
   */
  async comeIntoStep({ times, timeoutMs } = greetings): Promise<'rom' | 'stub' | null> {
    const { wire } = this;
    for (let i = 0; i < times; i++) {
      const by = await sync(wire, timeoutMs);
      if (!by) continue;
      await wire.drain(50, 3000);
      // Perhaps only greetings of before were answered: then long silence has to do.
      if (wire.greetingsOwed >= answersOfOne * (i + 1)) await this.silence();
      this.unsure = false;
      return by;
    }
    this.unsure = true;
    return null;
  }

  /** An answer, or another packet, says that all before it has been answered. */
  inStep(): void {
    this.unsure = false;
    this.wire.greetingsOwed = Math.min(this.wire.greetingsOwed, answersOfOne * this.probed);
  }

  /** @returns null when the answer is lost for certain: then it may be asked again, where that does no harm */
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

  /** Greets behind a request whose answer is late: what comes first tells whether it is that or lost. */
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

  /** What has not come after so long is not expected any more. */
  private async silence(): Promise<void> {
    await this.wire.drain(probeMs, 4 * probeMs);
    this.wire.greetingsOwed = 0;
  }

  /** Whether another late answer may be waited for. */
  private isWorthMore(): boolean {
    if (this.answered >= answersThatForgive) this.late = 0;
    this.answered = 0;
    return ++this.late <= lateInARow;
  }

  /**
   * @param heard answers to greetings, and how many may come that were sent before the request
   * @returns the answer, null when a greeting was answered instead that was sent later, undefined when time is over
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
      // A ROM says it up to eight times; `unsure` stays for those that come later.
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

/** Only such a request may be unknown to a ROM; an error under another op is otherwise a late answer. */
function isUnknownRequest(asked: number, body: Uint8Array): boolean {
  return asked !== op.sync && isStatus(body) && body[0] === 1 && body[1] === invalidMessage;
}

/**
 * Every ROM knows these, in secure download mode too (uploads to memory are asked for outside of it alone): one that is
 * answered as unknown was damaged on its way.
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

/** Sends SYNC and waits for nothing. @returns how many of its answers have come before one that is surely to this SYNC */
async function sendSync(wire: Wire): Promise<number> {
  const earlier = wire.greetingsOwed;
  wire.greetingsOwed += answersOfOne;
  await wire.write(request);
  return earlier;
}

/**
 * Says hello once. A ROM answers eight times, with the greeting's own bytes as value; a flasher stub with value 0.
 *
 * @returns who answered, or null when nobody did
 */
export async function sync(wire: Wire, timeoutMs: number): Promise<'rom' | 'stub' | null> {
  wire.flush();
  const earlier = await sendSync(wire);
  const values: number[] = [];
  try {
    const deadline = wire.now() + timeoutMs + wire.timeOf(256);
    while (values.length < earlier + answersOfOne) {
      // Once it speaks, the other answers follow at once; a lost one must not fail the greeting.
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
