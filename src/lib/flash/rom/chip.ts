import { AiotError } from '../../core/errors.js';
import type { Clock } from '../../core/time.js';
import { securityFuses } from '../../formats/efuse.js';
import { burnLayouts } from '../../formats/efuse-burn.js';
import type { ControlLines } from '../port/line.js';
import { type Fault, FaultBox } from './faults.js';
import { NorFlash } from './flash-memory.js';
import { FuseArray } from './fuse-array.js';
import type { FrameProgram, LoaderHost, RamProgram, StubKind } from './host.js';
import {
  type ChipIdentity,
  type ChipSecurity,
  efuseWords,
  identities,
  openChip,
  type ResetCause,
  type SimulatedChipName,
} from './identity.js';
import {
  type BootMode,
  bootText,
  type ChipProgram,
  type ProgramBoard,
  panicText,
  romBoot,
  secondStage,
} from './program.js';
import { encodeSlip, SlipReceiver } from './protocol.js';
import { flashId, Registers, SpiController } from './registers.js';
import { RomLoader } from './rom-loader.js';
import { bootFlash, imageCheck } from './secure-start.js';
import { StubLoader } from './stub-loader.js';

/**
 * State of a chip: in the ROM's or the stub's loader, running the program in flash, held in reset (or without power), or crashed until
 * the next reset.
 */
type ChipState = 'rom' | 'stub' | 'program' | 'held' | 'crashed';

export interface SimulatedChipOptions {
  chip: SimulatedChipName;
  /** Factory address, in lower case with colons. */
  mac?: string;
  flashBytes?: number;
  /** Initial contents of the flash (default: erased). */
  flash?: Uint8Array;
  faults?: readonly Fault[];
  /** Seed for random faults. */
  seed?: number;
  security?: Partial<ChipSecurity>;
  /**
   * Initial boot mode. In `download`, the default, the BOOT button is held until DTR or RTS is first used. `uart` is a chip strapped for
   * the UART only, as in emulators.
   */
  boot?: BootMode;
  timing?: ChipTiming;
  clock?: Clock;
  bridge?: Bridge;
  /** Behavior of the image in flash. By default, it prints the output of a second-stage bootloader and of the app. */
  program?: ChipProgram;
  /** A program that runs in place of `program` and needs no image in flash. */
  preloaded?: ChipProgram;
  /** Whether the flash chip has a parameter table (SFDP). */
  sfdp?: boolean;
  /** Base frequency of the UART's divider. */
  uartClockHz?: number;
  /** Strapping pins that the boot text contains (default: the usual pins of the mode). */
  strap?: number;
  /** Fuses that an earlier chip has saved, instead of those of a new one. */
  fuses?: Uint8Array | undefined;
  /** Words that differ from those of an ordinary board, such as fuses and calibration values, by address. */
  words?: Readonly<Record<number, number>>;
}

const romBaud = 115_200;

const crystalHz = 40_000_000;

/** Time from the release of RTS until the boot pin is sampled, ms. Caused by the capacitor at EN. */
const enableRiseMs = 2;

/** How long a USB port is absent with the fault `re-enumerate`, ms. */
const absentMs = 400;

/**
 * An ESP32-family chip as seen from its serial line: mask ROM, flasher stub, NOR flash, straps, and
 * faults. No processor is simulated: only the entry point of an uploaded stub is examined. Use `receive` and `setControlLines` for input.
 */
export class SimulatedChip {
  readonly identity: ChipIdentity;
  readonly mac: string;
  readonly flash: NorFlash;
  readonly faults: FaultBox;
  /** The fuses, if the chip's controller is simulated; null for an ESP32. */
  readonly fuses: FuseArray | null;
  /** The current speed of the chip's UART, and the clock from which that speed is derived. */
  readonly uart: { baud: number; clockHz: number };
  private readonly given: ChipSecurity;
  private readonly registers: Registers;
  private readonly wire: Wire;
  private readonly receiver = new SlipReceiver();
  private readonly circuit: ResetCircuit;
  private readonly clock: Clock;
  private readonly outputs = new Listeners<Uint8Array>();
  private readonly pulled = new Listeners<void>();
  private readonly pluggedIn = new Listeners<void>();
  private readonly states = new Listeners<ChipState>();
  private told: ChipState | null = null;
  /** Whether the cable is unplugged. */
  unplugged = false;
  /** Whether its USB port has disappeared at a reset and not returned yet. */
  isAbsent = false;
  /** The program that a host has loaded into RAM and started; null after a reset. */
  ramProgram: RamProgram | null = null;
  private loader: FrameProgram | null = null;
  private running: Running | null = null;
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
    if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(this.mac))
      throw new AiotError('AIOT_USAGE', `${this.mac} is not a MAC address`);
    this.flash = new NorFlash(options.flashBytes ?? options.flash?.length ?? 4 * 2 ** 20, options.flash);
    this.faults = new FaultBox(options.faults ?? [], options.seed ?? 1);
    const security = { ...openChip, ...options.security };
    this.given = security;
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
    const words = efuseWords(this.identity, mac, security);
    for (const [address, value] of Object.entries(options.words ?? {})) words.set(Number(address), value);
    const controller = burnLayouts[options.chip]?.controller;
    this.fuses =
      controller === undefined
        ? null
        : new FuseArray(options.chip, controller, words, options.fuses, () => this.powerFails());
    this.registers = new Registers(this.identity, words, spi, this.uart, this.fuses);
    this.reset('power');
  }

  /** The settings of the fuses. Those that a host has burned take precedence over those given to the constructor. */
  get security(): ChipSecurity {
    if (!this.fuses?.burned) return this.given;
    const { secureBoot, encryption, download } = securityFuses(this.identity.name, this.fuses.words);
    return {
      secureBoot: secureBoot !== null,
      flashEncryption: encryption.enabled,
      secureDownload: download === 'secure',
      downloadDisabled: download === 'disabled',
    };
  }

  /** Whether the power fails now, which resets the chip. */
  private powerFails(): boolean {
    if (!this.faults.strike('burn-cut')) return false;
    this.reset('brownout');
    return true;
  }

  get state(): ChipState {
    if (this.held) return 'held';
    if (this.loader) return this.loader instanceof StubLoader ? 'stub' : 'rom';
    return this.running || this.ramProgram ? 'program' : 'crashed';
  }

  /**
   * Adds a listener for bytes from the chip, and returns the function that removes it. Without a listener, the bytes are lost, as on a
   * real line.
   */
  onOutput(listener: (bytes: Uint8Array) => void): () => void {
    return this.outputs.add(listener);
  }

  /** Called when the fault `unplugged` or `re-enumerate` occurs. */
  onUnplugged(listener: () => void): () => void {
    return this.pulled.add(listener);
  }

  /** Called when `state` has changed. */
  onState(listener: (state: ChipState) => void): () => void {
    return this.states.add(listener);
  }

  onPlugged(listener: () => void): () => void {
    return this.pluggedIn.add(listener);
  }

  /** Receives bytes from the host. Without `hostBaud`, they are assumed to be sent at the chip's own speed. */
  receive(bytes: Uint8Array, hostBaud?: number): void {
    if (this.held || this.faults.strike('silent') || this.faults.strike('deaf')) return;
    const readable = hostBaud === undefined || this.reads(hostBaud);
    const arrived = this.faults.corrupt(readable ? bytes : this.faults.garble(bytes), 'in');
    const timeOf = this.wire.receive(arrived.length, this.uart.baud);
    this.running?.input(arrived);
    if (!this.loader) return;
    this.receiver.badEscape = this.loader instanceof StubLoader ? 'drop' : 'keep';
    for (const { bytes: frame, end } of this.receiver.push(arrived)) {
      this.frames.push({ bytes: frame, at: timeOf(end) });
    }
    if (this.frames.length > 0) this.pumping ??= this.pump();
  }

  /** Sets DTR and RTS, which act through the board's reset circuit. The first call releases the BOOT button. */
  setControlLines(lines: ControlLines): void {
    const { held, bootLow } = this.circuit.set(lines);
    this.button = 'run';
    this.bootLow = bootLow;
    if (held && !this.held) this.hold();
    else if (!held && this.held) void this.release(bootLow);
  }

  /** Presses or releases the BOOT button, which takes effect at the next reset. */
  setBoot(mode: BootMode): void {
    this.button = mode;
  }

  /** Resolves when all received bytes are processed and all answers are sent. */
  async settled(): Promise<void> {
    while (this.pumping !== null) await this.pumping;
    await this.wire.drained();
  }

  /** Whether a request is being processed without waiting for the clock. Simulated time must not advance in the meantime. */
  get working(): boolean {
    return this.pumping !== null && this.wire.waiting === 0;
  }

  reset(cause: ResetCause = 'power'): void {
    this.hold();
    this.boot(cause);
  }

  /** Plugs the cable in again: the chip has power, and the line works again. */
  plug(): void {
    this.unplugged = false;
    this.reset('power');
    this.pluggedIn.tell();
  }

  /** Removes the power. Everything stops, and all timers are cleared. */
  powerOff(): void {
    this.hold();
  }

  private hold(): void {
    this.ramProgram = null;
    this.held = true;
    this.epoch++;
    this.frames = [];
    this.pumping = null;
    this.loader?.end();
    this.loader = null;
    this.running?.stop();
    this.running = null;
    this.wire.reset();
    this.tell();
    this.receiver.reset();
  }

  private async release(bootLow: boolean): Promise<void> {
    const { epoch } = this;
    await this.clock.sleep(enableRiseMs);
    if (epoch !== this.epoch || !this.held) return;
    // The USB-Serial-JTAG unit decides at the release how the chip boots: lines that change right after it have no effect.
    if (this.options.bridge === 'usb-jtag') this.bootLow = bootLow;
    this.boot('power');
    if (!this.faults.strike('re-enumerate')) return;
    this.isAbsent = true;
    this.pulled.tell();
    await this.clock.sleep(absentMs);
    this.isAbsent = false;
    this.pluggedIn.tell();
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

  /** Reports the state. States of zero duration, such as that of an immediate reset, are not reported. */
  private tell(): void {
    queueMicrotask(() => {
      const { state } = this;
      if (state === this.told) return;
      this.told = state;
      this.states.tell(state);
    });
  }

  private start(): void {
    this.running = new Running({
      identity: this.identity,
      flash: bootFlash(this.flash, this.fuses, this.identity),
      verified: imageCheck(this.fuses),
      clock: this.clock,
      mac: this.mac,
      faults: this.faults,
      program: this.options.preloaded ?? romBoot(this.options.program ?? secondStage),
      print: (text) => this.print(text),
      send: (bytes) => this.transmit(bytes),
      restart: () => this.reset('software'),
    });
    this.tell();
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

  /** Applies faults that occur before a request is read. Returns true if the request is never answered. */
  private disturbed(op: number): boolean {
    const what = disturbanceAt(this.faults, op);
    switch (what?.kind) {
      case undefined:
        return false;
      case 'chatter':
        this.print(what.text);
        return false;
      case 'unplugged':
        this.hold();
        this.unplugged = true;
        this.pulled.tell();
        return true;
      case 'reset':
        this.reset(what.cause);
        return true;
      case 'panic':
        this.crash(panicText(this.identity));
        return true;
      case 'hang':
        this.crash('');
        return true;
    }
  }

  private hostOf(epoch: number): LoaderHost {
    const alive = () => epoch === this.epoch;
    const drained = async (then: () => void) => {
      await this.wire.drained();
      if (alive()) then();
    };
    return {
      identity: this.identity,
      security: () => this.security,
      fuses: this.fuses,
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
      startRamProgram: (program) => {
        this.loader?.end();
        this.loader = null;
        this.ramProgram = program;
        this.tell();
      },
    };
  }

  /** Crashes the CPU with this output. Only a reset ends this state. */
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

  /**
   * Whether the chip can read at the host's speed. The ROM measures the speed of the first bytes. Afterwards, both speeds must agree to
   * within 3 %.
   */
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
    this.outputs.tell(arrived);
  }
}

interface RunningOptions
  extends Pick<ProgramBoard, 'identity' | 'flash' | 'verified' | 'mac' | 'faults' | 'print' | 'send'> {
  clock: Clock;
  program: ChipProgram;
  restart(): void;
}

/** The program that runs on a chip, from the ROM's first read of the flash until a reset. */
class Running {
  private readonly abort = new AbortController();
  private listener: ((bytes: Uint8Array) => void) | null = null;

  constructor({ clock, program, print, send, restart, ...facts }: RunningOptions) {
    const { signal } = this.abort;
    const whileItRuns = (action: () => void) => {
      if (!signal.aborted) action();
    };
    program({
      ...facts,
      signal,
      print: (text) => whileItRuns(() => print(text)),
      send: (bytes) => whileItRuns(() => send(bytes)),
      sleep: async (ms) => {
        await clock.sleep(ms, signal);
        signal.throwIfAborted();
      },
      onInput: (listener) => {
        this.listener = listener;
      },
      restart: () => whileItRuns(restart),
    }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  input(bytes: Uint8Array): void {
    this.listener?.(bytes);
  }

  stop(): void {
    this.abort.abort();
  }
}

/** How DTR and RTS are connected to the chip: by a USB bridge and two transistors, or by the chip's own USB-Serial-JTAG. */
export type Bridge = 'uart' | 'usb-jtag';

interface ResetPins {
  /** Whether EN is low, so that the chip does nothing. */
  held: boolean;
  /** Whether the boot pin (GPIO0, GPIO9 on a C3) is pulled low. */
  bootLow: boolean;
}

/**
 * The auto-reset circuit of Espressif's boards: RTS pulls EN low and DTR the boot pin, each only while the other is not
 * asserted. The USB-Serial-JTAG unit instead latches DTR until the reset. Source: ESP32-DevKitC's schematic; ESP32-C3
 * technical reference manual, "USB Serial/JTAG Controller", table of DTR and RTS.
 */
class ResetCircuit {
  private latched = false;

  constructor(private readonly bridge: Bridge) {}

  set({ dtr, rts }: ControlLines): ResetPins {
    if (this.bridge === 'uart') return { held: rts && !dtr, bootLow: dtr && !rts };
    const pins = { held: rts && !dtr, bootLow: this.latched };
    if (dtr) this.latched = true;
    else if (!rts) this.latched = false;
    return { held: pins.held, bootLow: pins.held ? this.latched : pins.bootLow };
  }
}

/** Effect of a fault before a request, or in its place. */
type Disturbance =
  | { kind: 'unplugged' | 'panic' | 'hang' }
  | { kind: 'reset'; cause: ResetCause }
  | { kind: 'chatter'; text: string };

const chatter = 'E (312) app: sensor does not answer\r\n';

/** The fault that occurs at a request with this command, if there is one. */
function disturbanceAt(faults: FaultBox, op: number): Disturbance | null {
  if (faults.strike('unplugged', op)) return { kind: 'unplugged' };
  if (faults.strike('brownout', op)) return { kind: 'reset', cause: 'brownout' };
  if (faults.strike('reset', op)) return { kind: 'reset', cause: 'watchdog' };
  if (faults.strike('panic', op)) return { kind: 'panic' };
  if (faults.strike('hang', op)) return { kind: 'hang' };
  const said = faults.strike('chatter', op);
  return said ? { kind: 'chatter', text: said.text ?? chatter } : null;
}

/** The listeners of one kind of event. */
class Listeners<T> {
  private readonly all = new Set<(value: T) => void>();

  /** Returns the function that unsubscribes. */
  add(listener: (value: T) => void): () => void {
    this.all.add(listener);
    return () => this.all.delete(listener);
  }

  tell(value: T): void {
    for (const listener of [...this.all]) listener(value);
  }
}

/**
 * Timing of a chip. `instant`: no time passes. `uart`: bytes take as long as at the UART's speed, and flash operations as long as on a
 * flash chip.
 */
export type ChipTiming = 'instant' | 'uart';

/** Number of bits per byte in 8N1: start bit, 8 data bits, stop bit. */
const bitsPerByte = 10;

/** Interval between the chunks in which sent bytes arrive, as from a driver; ms. */
const pieceMs = 8;

/** A clock with fractions of a millisecond: a byte at 921600 bits per second takes 0.011 ms. */
const preciseClock: Clock = {
  now: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/** Timing of a UART's two directions. Bytes arrive, or are sent, only once their last bit has passed. */
class Wire {
  private receiveFree = 0;
  private sendFree = 0;
  private readonly queue: { bytes: Uint8Array; at: number }[] = [];
  private sending: Promise<void> | null = null;
  /** Number of operations waiting for the clock. */
  waiting = 0;

  constructor(
    private readonly timing: ChipTiming,
    private readonly clock: Clock,
    private readonly deliver: (bytes: Uint8Array) => void,
  ) {}

  /** Returns a function that maps the index of each of these bytes, from 1, to its arrival time. */
  receive(length: number, baud: number): (index: number) => number {
    const start = Math.max(this.clock.now(), this.receiveFree);
    const perByte = this.perByte(baud);
    this.receiveFree = start + length * perByte;
    return (index) => start + index * perByte;
  }

  send(bytes: Uint8Array, baud: number): void {
    if (this.timing === 'instant') {
      this.deliver(bytes);
      return;
    }
    const perByte = this.perByte(baud);
    const piece = Math.max(1, Math.floor(pieceMs / perByte));
    let free = Math.max(this.clock.now(), this.sendFree);
    for (let at = 0; at < bytes.length; at += piece) {
      const part = bytes.subarray(at, at + piece);
      free += part.length * perByte;
      this.queue.push({ bytes: part, at: free });
    }
    this.sendFree = free;
    this.sending ??= this.drain();
  }

  /** Resolves when all bytes are sent. */
  async drained(): Promise<void> {
    await this.sending;
  }

  async until(time: number): Promise<void> {
    if (this.timing === 'instant') return;
    this.waiting++;
    // The loop is needed because a Node timer may fire almost a millisecond early.
    for (let ms = time - this.clock.now(); ms > 0.2; ms = time - this.clock.now()) await this.clock.sleep(ms);
    this.waiting--;
  }

  async pass(ms: number): Promise<void> {
    if (this.timing === 'uart') await this.until(this.clock.now() + ms);
  }

  /** Discards bytes not yet sent: the chip was reset. */
  reset(): void {
    this.queue.length = 0;
    this.sendFree = this.receiveFree = 0;
  }

  private perByte(baud: number): number {
    return this.timing === 'instant' ? 0 : (bitsPerByte * 1000) / baud;
  }

  private async drain(): Promise<void> {
    for (let next = this.queue.shift(); next; next = this.queue.shift()) {
      await this.until(next.at);
      this.deliver(next.bytes);
    }
    this.sending = null;
  }
}
