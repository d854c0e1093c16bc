import type { FrameProgram, LoaderHost } from './host.js';
import { headerBytes, op, putWord, romError } from './protocol.js';
import { flashCommands } from './rom-flash.js';
import { memoryCommands } from './rom-memory.js';
import { failed, type RomCommand, type RomOutcome, RomState } from './rom-state.js';

const syncAnswers = 8;

const commands = new Map<number, RomCommand>([...memoryCommands, ...flashCommands]);

/** Source: ESP-IDF, "Secure download mode": what writes flash and no more. */
const allowedInSecureDownload = new Set<number>([
  op.sync,
  op.flashBegin,
  op.flashData,
  op.flashEnd,
  op.deflBegin,
  op.deflData,
  op.deflEnd,
  op.spiAttach,
  op.spiSetParams,
  op.changeBaud,
  op.securityInfo,
]);

/**
 * The loader in the mask ROM, with its traits: requests land in one buffer that keeps what was there, answers carry
 * values and status bytes of earlier ones, a refused block still counts. Source: golden traces in test/golden/rom.
 */
export class RomLoader implements FrameProgram {
  /** Whether a command was understood since the reset. */
  spoken = false;
  private readonly state: RomState;
  private error = 0;

  /** @param joint whether it waits on all ports at once */
  constructor(
    private readonly host: LoaderHost,
    joint: boolean,
  ) {
    this.state = new RomState(host, joint);
  }

  async handle(frame: Uint8Array): Promise<void> {
    const { state } = this;
    const { request } = state;
    request.set(frame.subarray(0, request.length));
    const code = request[1] as number;
    const command = request[0] === 0 ? this.commandOf(code) : undefined;
    // Not the unknown command is named in the answer, but the last known one.
    if (!command) return this.reply(failed(romError.message));
    state.lastOp = code;
    this.spoken = true;
    const outcome = await command(state, (request[2] as number) | ((request[3] as number) << 8));
    if (!outcome.silent) this.reply(outcome);
    await outcome.after?.();
  }

  end(): void {
    this.state.endWriting();
  }

  private commandOf(code: number): RomCommand | undefined {
    const { identity, security } = this.host;
    if (code === op.securityInfo && identity.securityId === null) return undefined;
    if (security.secureDownload && !allowedInSecureDownload.has(code)) return undefined;
    return commands.get(code);
  }

  private reply({ data = 0, error, keepsError }: RomOutcome): void {
    const { answer, lastOp, value } = this.state;
    if (error !== undefined) this.error = error;
    else if (!keepsError) this.error = 0;
    const at = headerBytes + data;
    answer.set([1, lastOp, data + 4, 0]);
    putWord(answer, 4, value);
    answer.set([error === undefined ? 0 : 1, this.error], at);
    const times = lastOp === op.sync ? this.syncAnswers() : 1;
    for (let time = 0; time < times; time++) this.host.send(answer.slice(0, at + 4));
  }

  private syncAnswers(): number {
    const stuck = this.host.faults.strike('stuck-sync');
    return stuck ? (stuck.answers ?? 0) : syncAnswers;
  }
}
