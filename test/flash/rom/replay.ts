import { SimulatedChip, type SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { encodeSlip, op, SlipReceiver } from '../../../src/lib/flash/rom/protocol.js';
import { filling, knownPayload, zlibOfLength } from './payloads.js';
import type { TraceLine } from './trace.js';

/** Fuses and registers of the emulated chips in the traces that differ from an ordinary board's. */
const emulated: Record<string, SimulatedChipOptions> = {
  esp32: {
    chip: 'esp32',
    mac: '10:01:00:c4:0a:24',
    uartClockHz: 346 * 115_200,
    words: {
      1073061896: 0x00fe1001,
      1073061900: 0,
      1073061904: 0,
      1073061908: 0,
    },
  },
  esp32c3: { chip: 'esp32c3', mac: 'c4:0a:24:fe:10:01', words: { 1610647632: 0x000c0000 } },
};

/** The received data: the frames in order, with the requests between them, and the joined text. */
export interface Heard {
  frames: string[];
  text: string;
}

/** Sends a trace's host data to a simulated chip; returns the responses in the trace and those of the chip. */
export async function replay(
  chipName: 'esp32' | 'esp32c3',
  trace: readonly TraceLine[],
  options: Partial<SimulatedChipOptions> = {},
): Promise<{ expected: Heard; actual: Heard }> {
  const chip = new SimulatedChip({
    ...(emulated[chipName] as SimulatedChipOptions),
    sfdp: false,
    boot: 'uart',
    ...options,
  });
  const heard: Buffer[] = [];
  chip.onOutput((bytes) => heard.push(Buffer.from(bytes)));
  const requests = requestsOf(trace);
  seed(chip, trace);
  chip.reset('power');
  const actual: string[] = [];
  const expected: string[] = [];
  let request = 0;
  const judge = { actual: new Show(), expected: new Show() };
  const parse = new AnswerReader();
  const hear = () =>
    actual.push(...parse.take(heard.splice(0)).map((bytes) => judge.actual.frame(bytes, bytes.length)));
  for (const [index, line] of trace.entries()) {
    if (line.dir === 'host>chip') {
      hear();
      const wire = line.raw !== undefined ? Buffer.from(line.raw, 'hex') : (requests[request++] as Buffer);
      const shown = `> ${wire.subarray(0, 24).toString('hex')}`;
      chip.receive(wire);
      // Two consecutive requests in a trace were sent in one write.
      if (trace[index + 1]?.dir !== 'host>chip' || trace[index - 1]?.dir === 'chip>host')
        await chip.settled();
      actual.push(shown);
      expected.push(shown);
    } else if (line.raw !== undefined || line.bytes !== undefined) {
      const bytes = Buffer.from(line.raw ?? line.bytes ?? '', 'hex');
      const length = bytes.length + (line.payload?.len ?? 0);
      const said = line.raw !== undefined && line.text?.startsWith('\x01') === false;
      if (said || bytes.toString('latin1').startsWith('ESP-ROM')) expected.push(...text(bytes));
      else expected.push(judge.expected.frame(bytes, length));
    }
  }
  hear();
  chip.powerOff();
  const [wanted, got] = [heardOf(expected), heardOf(actual)];
  // A recording may end with a request, before its response.
  if (wanted.frames.at(-1)?.startsWith('>'))
    got.frames.length = Math.min(got.frames.length, wanted.frames.length);
  return { expected: wanted, actual: got };
}

function heardOf(lines: readonly string[]): Heard {
  const isText = (line: string) => line.startsWith('text ');
  return {
    frames: lines.filter((line) => !isText(line)),
    text: lines
      .filter(isText)
      .map((line) => line.slice(5))
      .join(''),
  };
}

/** The text in comparable form, with only the first line of a crash and without text that repeats periodically. */
function text(bytes: Buffer): string[] {
  const all = bytes.toString('latin1').replace(/(invalid header: 0xf+\s*)+/g, '');
  if (/^(\xc0?|\d+ 0x[\s\S]*)$/.test(all.trimEnd())) return [];
  const crash = all.indexOf("panic'ed");
  return [`text ${crash < 0 ? all : all.slice(0, all.indexOf('\r', crash))}`];
}

class AnswerReader {
  private readonly receiver = new SlipReceiver(0x10000);
  take(chunks: Buffer[]): Buffer[] {
    return chunks.flatMap((chunk) =>
      chunk[0] === 0xc0 && chunk.length > 1
        ? this.receiver.push(chunk).map(({ bytes }) => Buffer.from(bytes))
        : text(chunk).map((line) => Buffer.from(line)),
    );
  }
}

/** Removes data-dependent parts from responses: digests, read data, and remains of both in reserved bytes. */
class Show {
  /** The response buffer of a ROM, where the bytes of every response remain. */
  private readonly buffer = Buffer.alloc(0x200);

  frame(bytes: Buffer, length: number): string {
    if (bytes.subarray(0, 5).toString() === 'text ') return bytes.toString('latin1');
    if (bytes[0] !== 1 || length < 10 || length > 200) {
      return bytes.toString() === 'OHAI' ? 'OHAI' : `stream of ${length}`;
    }
    const code = bytes[1] as number;
    const ofData = length > 12 && (code === op.flashMd5 || code === op.readFlashSlow);
    const status = code === op.flashMd5 ? (length > 30 ? 40 : 24) : length - 4;
    const head = bytes.subarray(0, 8).toString('hex');
    const shown = ofData ? `${head} data ${bytes.subarray(status).toString('hex')}` : bytes.toString('hex');
    const remains = this.buffer.subarray(length - 2, length);
    const left = length >= 12 && remains.some((byte) => byte > 0) && remains.equals(bytes.subarray(-2));
    bytes.copy(this.buffer);
    return `< ${left ? `${shown.slice(0, -4)}remains` : shown}`;
  }
}

/**
 * The host's frames on the wire. Contents missing in a trace are generated, and are valid if the chip accepted them.
 */
function requestsOf(trace: readonly TraceLine[]): Buffer[] {
  const out: Buffer[] = [];
  let streams: Buffer[] = [];
  for (const [index, line] of trace.entries()) {
    if (line.dir !== 'host>chip' || line.bytes === undefined) continue;
    const head = Buffer.from(line.bytes, 'hex');
    if (head[1] === op.deflBegin && head.length > 8) streams = streamBlocks(trace, index);
    out.push(wireOf(line, head, withPayload(line, head, streams, statusAfter(trace, index))));
  }
  return out;
}

function withPayload(line: TraceLine, head: Buffer, streams: Buffer[], status: string): Buffer {
  if (!line.payload) return head;
  const known = knownPayload(line.payload);
  if (known) return Buffer.concat([head, known]);
  const compressed = head[1] === op.deflData;
  const made = (compressed && streams[head.readUInt32LE(12)]) || filling(line.payload.len);
  const payload = Buffer.from(made);
  if (status === '010c') payload[payload.length - 1] = (payload[payload.length - 1] as number) ^ 1;
  const sum = payload.reduce((a, b) => a ^ b, 0xef);
  head.writeUInt32LE(status === '0107' || status === 'c100' ? sum ^ 1 : sum, 4);
  return Buffer.concat([head, payload]);
}

/**
 * Blocks with the lengths that follow a FLASH_DEFL_BEGIN, which together form one zlib stream of the announced size.
 */
function streamBlocks(trace: readonly TraceLine[], begin: number): Buffer[] {
  const size = Buffer.from(trace[begin]?.bytes ?? '', 'hex').readUInt32LE(8);
  const lengths: number[] = [];
  for (const line of trace.slice(begin + 1)) {
    if (line.dir !== 'host>chip') continue;
    const head = Buffer.from(line.bytes ?? '', 'hex');
    if (head[1] !== op.deflData) break;
    if (head.readUInt32LE(12) === lengths.length) lengths.push(line.payload?.len ?? 0);
  }
  const made = zlibOfLength(
    size,
    lengths.reduce((a, b) => a + b, 0),
  );
  const starts = lengths.map((_, index) => lengths.slice(0, index).reduce((a, b) => a + b, 0));
  return made
    ? lengths.map((length, index) => made.stream.subarray(starts[index], (starts[index] ?? 0) + length))
    : [];
}

function statusAfter(trace: readonly TraceLine[], index: number): string {
  const answer = trace.slice(index + 1).find((line) => line.dir === 'chip>host' && line.bytes);
  return answer?.bytes?.slice(16, 20) ?? '';
}

/** Frames that were longer on the wire than necessary had one unnecessary escape before the last byte. */
function wireOf(line: TraceLine, head: Buffer, frame: Buffer): Buffer {
  const wire = Buffer.from(encodeSlip(frame));
  if (line.payload || line.wire_len !== wire.length + 1 || head.length < 8) return wire;
  return Buffer.concat([wire.subarray(0, -2), Buffer.of(0xdb), wire.subarray(-2)]);
}

/** Data in READ_FLASH_SLOW responses must be in the flash beforehand. */
function seed(chip: SimulatedChip, trace: readonly TraceLine[]): void {
  let offset = 0;
  for (const { dir, bytes } of trace) {
    const frame = Buffer.from(bytes ?? '', 'hex');
    if (frame[1] !== op.readFlashSlow) continue;
    if (dir === 'host>chip') offset = frame.readUInt32LE(8);
    else if (frame.length === 76) chip.flash.bytes.set(frame.subarray(8, 72), offset);
  }
}
