import type { LoaderHost } from './host.js';
import { op, wordAt } from './protocol.js';

/** READ_FLASH: one block, then the host says how many bytes it has; behind the last one comes the MD5 of all. */
export class ReadStream {
  private sent = 0;

  constructor(
    private readonly host: LoaderHost,
    private readonly part: { offset: number; length: number; block: number },
  ) {}

  /** False when the stream is over: all is sent, with its MD5. */
  sendBlock(): boolean {
    const { offset, length, block } = this.part;
    const from = offset + this.sent;
    const bytes = Math.min(block, length - this.sent);
    if (bytes === 0) {
      const sum = Uint8Array.from(this.host.flash.md5(offset, length));
      if (this.host.faults.strike('wrong-md5', op.readFlash)) sum[0] = (sum[0] as number) ^ 1;
      this.host.send(sum);
      return false;
    }
    this.sent += bytes;
    const cut = this.host.faults.strike('short-read', op.readFlash) ? bytes >> 1 : bytes;
    this.host.send(this.host.flash.bytes.slice(from, from + cut));
    return true;
  }

  /** Takes the host's count. False when the stream is over, also by a wrong count. */
  acknowledge(frame: Uint8Array): boolean {
    return frame.length === 4 && wordAt(frame, 0) === this.sent && this.sendBlock();
  }
}
