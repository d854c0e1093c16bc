import type { FrameProgram, LoaderHost, StubKind } from './host.js';
import { headerBytes, op, putWord, stubError } from './protocol.js';
import { flashCommands } from './stub-flash.js';
import { memoryCommands } from './stub-memory.js';
import { failed, type StubCommand, type StubOutcome, StubRequest, StubState } from './stub-state.js';

const syncAnswers = 8;
/** Known to a stub that was built with them, and refused as such by all others. */
const firstPlugin = 0xd4;
const lastPlugin = 0xde;

const commands = new Map<number, StubCommand>([...memoryCommands, ...flashCommands]);

/**
 * esptool's flasher stub in RAM, version 2 or the older one that espflash 4.4 brings. Two status bytes, value 0;
 * blocks are acknowledged before they are written. Source: golden traces in test/golden/rom, esp32-probe-stub.
 */
export class StubLoader implements FrameProgram {
  private readonly state: StubState;

  constructor(
    private readonly host: LoaderHost,
    private readonly kind: StubKind,
  ) {
    this.state = new StubState(host, kind);
  }

  async handle(frame: Uint8Array): Promise<void> {
    const { state } = this;
    if (state.reading) {
      if (!state.reading.acknowledge(frame)) state.reading = null;
      return;
    }
    const request = new StubRequest(frame);
    const outcome = await this.outcomeOf(request);
    if (!outcome.silent) this.reply(request.code, outcome);
    await outcome.after?.();
  }

  end(): void {
    this.state.endWriting();
    this.state.reading = null;
  }

  private outcomeOf(request: StubRequest): Promise<StubOutcome> | StubOutcome {
    const { frame, code, size } = request;
    if (frame.length < headerBytes || frame.length - headerBytes !== size) return failed(stubError.length);
    if (frame[0] !== 0) return failed(stubError.command);
    const command = commands.get(code);
    if (command) return command(this.state, request);
    return failed(code >= firstPlugin && code <= lastPlugin ? stubError.unsupported : stubError.command);
  }

  private reply(code: number, { status = 0, value = 0, data = new Uint8Array(0) }: StubOutcome): void {
    const answer = new Uint8Array(headerBytes + data.length + 2);
    // The older stub forgets its status bytes in the length of this one answer.
    const forgets = this.kind === 'legacy' && code === op.securityInfo && status === 0;
    answer.set([1, code, data.length + (forgets ? 0 : 2), 0]);
    putWord(answer, 4, value);
    answer.set(data, headerBytes);
    answer[headerBytes + data.length] = status;
    const times = code === op.sync ? this.syncAnswers() : 1;
    for (let time = 0; time < times; time++) this.host.send(answer);
  }

  private syncAnswers(): number {
    const stuck = this.host.faults.strike('stuck-sync');
    return stuck ? (stuck.answers ?? 0) : syncAnswers;
  }
}
