import type { SimulatedChip } from '../../../src/lib/flash/rom/chip.js';
import { checksumOf, encodeSlip, op, SlipReceiver } from '../../../src/lib/flash/rom/protocol.js';

export { op };

/** A request frame with these words, followed by the payload of a data command. */
export function request(code: number, words: number[], payload?: Uint8Array): Buffer {
  const head = Buffer.alloc(8 + words.length * 4);
  head[1] = code;
  head.writeUInt16LE(words.length * 4 + (payload?.length ?? 0), 2);
  if (payload) head.writeUInt32LE(checksumOf(payload), 4);
  for (const [index, word] of words.entries()) head.writeUInt32LE(word >>> 0, 8 + index * 4);
  return payload ? Buffer.concat([head, payload]) : head;
}

export const syncRequest = Buffer.concat([
  Buffer.from([0, op.sync, 36, 0, 0, 0, 0, 0, 0x07, 0x07, 0x12, 0x20]),
  Buffer.alloc(32, 0x55),
]);

/** A host that sends frames without timeouts, and collects the responses. */
export class Host {
  text = '';
  private readonly receiver = new SlipReceiver();
  private frames: Buffer[] = [];

  constructor(private readonly chip: SimulatedChip) {
    chip.onOutput((bytes) => {
      if (bytes[0] === 0xc0 && bytes.length > 1) {
        this.frames.push(...this.receiver.push(bytes).map((frame) => Buffer.from(frame.bytes)));
      } else this.text += Buffer.from(bytes).toString('latin1');
    });
  }

  /** Sends a frame, and returns the response frames. */
  async ask(frame: Uint8Array): Promise<Buffer[]> {
    this.chip.receive(encodeSlip(frame));
    await this.chip.settled();
    return this.frames.splice(0);
  }

  /** Sends a frame, and returns the status bytes of the only response, in hex. */
  async status(frame: Uint8Array): Promise<string> {
    const answers = await this.ask(frame);
    const stub = this.chip.state === 'stub' && frame[1] !== op.memEnd;
    return answers.length === 0
      ? 'none'
      : (answers[0] as Buffer)
          .subarray(stub ? -2 : -4)
          .toString('hex')
          .slice(0, 4);
  }

  async startStub(entry = 0x400a902c): Promise<Buffer[]> {
    await this.ask(request(op.memBegin, [4, 1, 4, 0x400a8000]));
    await this.ask(request(op.memData, [4, 0, 0, 0], Buffer.alloc(4)));
    return this.ask(request(op.memEnd, [0, entry]));
  }
}
