import { AiotError, type Clock } from '../../core/index.js';
import type { ControlLines } from '../port/types.js';
import { type BootMode, bootText, panicText } from './boot-text.js';
import { type ChipSecurity, efuseWords, openChip } from './efuse.js';
import { type Fault, FaultBox } from './faults.js';
import type { FrameProgram, LoaderHost, StubKind } from './host.js';
import { type ChipIdentity, identities, type ResetCause, type SimulatedChipName } from './identity.js';
import { NorFlash } from './nor.js';
import { type ChipProgram, romBoot } from './program.js';
import { Registers } from './registers.js';
import { type Bridge, ResetCircuit } from './reset-circuit.js';
import { RomLoader } from './rom-loader.js';
import { secondStage } from './second-stage.js';
import { encodeSlip, SlipReceiver } from './slip.js';
import { flashId, SpiController } from './spi.js';
import { StubLoader } from './stub-loader.js';
import { type ChipTiming, preciseClock, Wire } from './wire.js';

const romBaud = 115_200;
const crystalHz = 40_000_000;
/** The capacitor at EN: the boot pin is looked at so long after RTS let go. */
const enableRiseMs = 2;

/** Loader of the ROM or the stub, the program in flash, held in reset (or without power), or lost until the next reset. */
export type ChipState = 'rom' | 'stub' | 'program' | 'held' | 'crashed';

export interface SimulatedChipOptions {
  chip: SimulatedChipName;
  /** Factory address, lower case with colons. */
  mac?: string;
  flashBytes?: number;
  /** What is in the flash at first (default: erased). */
  flash?: Uint8Array;
  faults?: readonly Fault[];
  /** Of the chance in faults. */
  seed?: number;
  security?: Partial<ChipSecurity>;
  /**
   * Default `download`: somebody holds the BOOT button, until DTR or RTS are used for the first time. `uart` is a chip
   * strapped for the UART alone, as emulators are.
   */
  boot?: BootMode;
  timing?: ChipTiming;
  clock?: Clock;
  bridge?: Bridge;
  /** What the image in flash does once it runs (default: a second-stage bootloader's words, and those of the app). */
  program?: ChipProgram;
  /** Whether the flash chip has a parameter table (SFDP). */
  sfdp?: boolean;
  /** Frequency that the UART's divider is made for. */
  uartClockHz?: number;
  /** Strapping pins as the boot text gives them (default: the usual ones of the mode). */
  strap?: number;
  /** Address → value of words that shall read otherwise than an ordinary board's: fuses, calibration. */
  words?: Readonly<Record<number, number>>;
}

/**
 * A chip of the ESP32 family as it is seen from its serial line: mask ROM, flasher stub, NOR flash, straps, and what can
 * go wrong. No processor: of an uploaded stub only the name is looked at. Feed it by `receive` and `setControlLines`.
 */
export class SimulatedChip {
  readonly identity: ChipIdentity;
  readonly mac: string;
  readonly flash: NorFlash;
  readonly faults: FaultBox;
  readonly security: ChipSecurity;
  /** Speed of the chip's UART now, and the clock it divides. */
  readonly uart: { baud: number; clockHz: number };
  private readonly registers: Registers;
  private readonly wire: Wire;
  private readonly receiver = new SlipReceiver();
  private readonly circuit: ResetCircuit;
  private readonly clock: Clock;
  private readonly outputs = new Set<(bytes: Uint8Array) => void>();
  private readonly unplugs = new Set<() => void>();
  private readonly plugs = new Set<() => void>();
  private readonly states = new Set<(state: ChipState) => void>();
  private told: ChipState | null = null;
  /** The cable was pulled and is not in again. */
  unplugged = false;
  private loader: FrameProgram | null = null;
  private running: { abort: AbortController; input: ((bytes: Uint8Array) => void) | null } | null = null;
  private frames: { bytes: Uint8Array; at: number }[] = [];
  private pumping: Promise<void> | null = null;
  private epoch = 0;
  private held = false;
  private button: BootMode;
  private bootLow = false;

  constructor(private readonly options: SimulatedChipOptions) {
    this.identity = identities[options.chip];
    this.mac = options.mac ?? '24:0a:c4:00:01:10';
    const mac = Uint8Array.from(this.mac.split(':'), (byte) => Number.parseInt(byte, 16));
    if (mac.length !== 6) throw new AiotError('AIOT_USAGE', `${this.mac} is no MAC address`);
    this.flash = new NorFlash(options.flashBytes ?? options.flash?.length ?? 4 * 2 ** 20, options.flash);
    this.faults = new FaultBox(options.faults ?? [], options.seed ?? 1);
    this.security = { ...openChip, ...options.security };
    this.clock = options.clock ?? preciseClock;
    this.circuit = new ResetCircuit(options.bridge ?? 'uart');
    this.button = options.boot ?? 'download';
    this.uart = { baud: romBaud, clockHz: options.uartClockHz ?? crystalHz };
    this.wire = new Wire(options.timing ?? 'instant', this.clock, (bytes) => this.deliver(bytes));
    const spi = new SpiController(this.identity.spi, {
      flash: this.flash,
      id: flashId(this.flash.size),
      sfdp: options.sfdp ?? true,
    });
    const words = efuseWords(this.identity, mac, this.security);
    for (const [address, value] of Object.entries(options.words ?? {})) words.set(Number(address), value);
    this.registers = new Registers(this.identity, words, spi, this.uart);
    this.reset('power');
  }

  get state(): ChipState {
    if (this.held) return 'held';
    if (this.loader) return this.loader instanceof StubLoader ? 'stub' : 'rom';
    return this.running ? 'program' : 'crashed';
  }

  /** Bytes from the chip; without a listener they are lost, as on a real line. Returns what ends it. */
  onOutput(listener: (bytes: Uint8Array) => void): () => void {
    this.outputs.add(listener);
    return () => this.outputs.delete(listener);
  }

  /** Called when the fault `unplugged` strikes. */
  onUnplugged(listener: () => void): () => void {
    this.unplugs.add(listener);
    return () => this.unplugs.delete(listener);
  }

  /** Called when the chip has come to another `state`. */
  onState(listener: (state: ChipState) => void): () => void {
    this.states.add(listener);
    return () => this.states.delete(listener);
  }

  onPlugged(listener: () => void): () => void {
    this.plugs.add(listener);
    return () => this.plugs.delete(listener);
  }

  /** Bytes from the host. Without a speed they are taken as sent at the chip's. */
  receive(bytes: Uint8Array, hostBaud?: number): void {
    if (this.held || this.faults.strike('silent') || this.faults.strike('deaf')) return;
    const readable = hostBaud === undefined || this.reads(hostBaud);
    const arrived = this.faults.corrupt(readable ? bytes : this.faults.garble(bytes), 'in');
    const timeOf = this.wire.receive(arrived.length, this.uart.baud);
    if (this.running) this.running.input?.(arrived);
    if (!this.loader) return;
    this.receiver.badEscape = this.loader instanceof StubLoader ? 'drop' : 'keep';
    for (const { bytes: frame, end } of this.receiver.push(arrived)) {
      this.frames.push({ bytes: frame, at: timeOf(end) });
    }
    if (this.frames.length > 0) this.pumping ??= this.pump();
  }

  /** DTR and RTS, as the board's reset circuit takes them. The first time, the BOOT button is let go. */
  setControlLines(lines: ControlLines): void {
    const { held, bootLow } = this.circuit.set(lines);
    this.button = 'run';
    this.bootLow = bootLow;
    if (held && !this.held) this.hold();
    else if (!held && this.held) void this.release();
  }

  /** Presses or lets go the BOOT button; it counts at the next reset. */
  setBoot(mode: BootMode): void {
    this.button = mode;
  }

  /** Resolves when everything received has been worked through and what was answered is out. */
  async settled(): Promise<void> {
    while (this.pumping) await this.pumping;
    await this.wire.drained();
  }

  reset(cause: ResetCause = 'power'): void {
    this.hold();
    this.boot(cause);
  }

  /** Puts the cable in again: power on, and the line is back. */
  plug(): void {
    this.unplugged = false;
    this.reset('power');
    for (const listener of [...this.plugs]) listener();
  }

  /** Takes the supply away: nothing runs any more, and no timer is left. */
  powerOff(): void {
    this.hold();
  }

  private hold(): void {
    this.held = true;
    this.epoch++;
    this.frames = [];
    this.pumping = null;
    this.loader?.end();
    this.loader = null;
    this.running?.abort.abort();
    this.running = null;
    this.wire.reset();
    this.tell();
    this.receiver.reset();
  }

  private async release(): Promise<void> {
    const { epoch } = this;
    await this.clock.sleep(enableRiseMs);
    if (epoch === this.epoch && this.held) this.boot('power');
  }

  private boot(cause: ResetCause): void {
    this.held = false;
    this.uart.baud = romBaud;
    const asked = this.bootLow && this.button === 'run' ? 'download' : this.button;
    const strap = this.options.strap ?? this.identity.bootNames[asked].strap;
    this.uart.clockHz = this.options.uartClockHz ?? crystalHz;
    this.registers.reset(strap);
    this.tell();
    this.print(bootText(this.identity, cause, asked, strap));
    if (asked === 'run') this.start();
    else if (this.security.downloadDisabled) this.print('Download mode is disabled\r\n');
    else this.loader = new RomLoader(this.hostOf(this.epoch), asked === 'download');
  }

  /** States that last no time, such as that of a reset at once, are not told. */
  private tell(): void {
    queueMicrotask(() => {
      const { state } = this;
      if (state === this.told) return;
      this.told = state;
      for (const listener of [...this.states]) listener(state);
    });
  }

  private start(): void {
    const abort = new AbortController();
    const running = { abort, input: null as ((bytes: Uint8Array) => void) | null };
    this.running = running;
    this.tell();
    const { epoch } = this;
    const board = {
      identity: this.identity,
      flash: this.flash,
      signal: abort.signal,
      print: (text: string) => {
        if (epoch === this.epoch) this.print(text);
      },
      sleep: async (ms: number) => {
        await this.clock.sleep(ms, abort.signal);
        abort.signal.throwIfAborted();
      },
      onInput: (listener: (bytes: Uint8Array) => void) => {
        running.input = listener;
      },
      restart: () => {
        if (epoch === this.epoch) this.reset('software');
      },
    };
    romBoot(this.options.program ?? secondStage)(board).catch((error: unknown) => {
      if (!abort.signal.aborted) throw error;
    });
  }

  private async pump(): Promise<void> {
    const { epoch } = this;
    const alive = () => epoch === this.epoch && this.loader !== null;
    for (let frame = this.frames.shift(); frame; frame = this.frames.shift()) {
      await this.wire.until(frame.at);
      if (!alive() || this.disturbed(frame.bytes[1] ?? 0)) break;
      await this.loader?.handle(frame.bytes);
      if (!alive()) break;
    }
    if (epoch === this.epoch) this.pumping = null;
  }

  /** Faults that strike before a request is looked at. True: it is never answered. */
  private disturbed(op: number): boolean {
    if (this.faults.strike('unplugged', op)) {
      this.hold();
      this.unplugged = true;
      for (const listener of [...this.unplugs]) listener();
      return true;
    }
    const cause = this.faults.strike('brownout', op)
      ? 'brownout'
      : this.faults.strike('reset', op)
        ? 'watchdog'
        : null;
    if (cause) {
      this.reset(cause);
      return true;
    }
    if (this.faults.strike('panic', op)) {
      this.crash(panicText(this.identity));
      return true;
    }
    const chatter = this.faults.strike('chatter', op);
    if (chatter) this.print(chatter.text ?? 'E (312) app: sensor does not answer\r\n');
    return false;
  }

  private hostOf(epoch: number): LoaderHost {
    const alive = () => epoch === this.epoch;
    const drained = async (then: () => void) => {
      await this.wire.drained();
      if (alive()) then();
    };
    return {
      identity: this.identity,
      security: this.security,
      flash: this.flash,
      registers: this.registers,
      faults: this.faults,
      flashLimit: this.flash.size,
      send: (frame) => {
        if (alive() && !this.faults.strike('lost-answer', frame[1])) this.transmit(encodeSlip(frame));
      },
      sendRaw: (bytes) => {
        if (alive()) this.transmit(bytes);
      },
      dropInput: () => {
        const now = this.clock.now();
        this.frames = this.frames.filter(({ at }) => at > now);
      },
      busy: (ms) => this.wire.pass(ms),
      changeBaud: (baud) =>
        drained(() => {
          this.uart.baud = baud;
        }),
      restart: (cause) => drained(() => this.reset(cause)),
      startProgram: () =>
        drained(() => {
          this.loader?.end();
          this.loader = null;
          this.start();
        }),
      crash: (text) => this.crash(text),
      startStub: (kind) => this.startStub(kind, epoch),
    };
  }

  /** The CPU is lost; only a reset helps. */
  private crash(text: string): void {
    this.loader?.end();
    this.loader = null;
    if (text !== '') this.print(text);
    this.tell();
  }

  private startStub(kind: StubKind, epoch: number): void {
    this.loader?.end();
    this.loader = new StubLoader(this.hostOf(epoch), kind);
    if (kind === 'v2') this.registers.stubStarts();
    this.tell();
    if (!this.faults.strike('no-ohai')) this.transmit(encodeSlip(new TextEncoder().encode('OHAI')));
  }

  /** The ROM measures the host's speed at its first bytes; afterwards both have to agree to 3 %. */
  private reads(hostBaud: number): boolean {
    if (this.loader instanceof RomLoader && !this.loader.spoken) this.uart.baud = hostBaud;
    return Math.abs(hostBaud / this.uart.baud - 1) < 0.03;
  }

  private print(text: string): void {
    this.transmit(new TextEncoder().encode(text));
  }

  private transmit(bytes: Uint8Array): void {
    if (!this.faults.strike('silent')) this.wire.send(bytes, this.uart.baud);
  }

  private deliver(bytes: Uint8Array): void {
    const sent = this.faults.strike('wrong-clock') ? this.faults.garble(bytes) : bytes;
    const arrived = this.faults.corrupt(sent, 'out');
    for (const listener of [...this.outputs]) listener(arrived);
  }
}
