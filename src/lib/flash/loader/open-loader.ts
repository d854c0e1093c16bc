import type { ROM, Transport } from 'esptool-js';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { fuseAddresses, lockWords, securityFuses, setBits } from '../../formats/efuse.js';
import { type ChipName, chipNames, chipOfId, espChips } from '../../formats/esp-image/chips.js';
import { whyInterrupted, whyNotConnected } from '../diagnosis.js';
import type { SerialLine } from '../port/line.js';
import { Exchange, op, quick, Refusal, romBaud, sync, words } from './exchange.js';
import { ChipLoader } from './loader.js';
import { loadRam, startRam } from './ram.js';
import { downloadResets, runSteps } from './reset.js';
import { readSecurity } from './security-info.js';
import { changeBaud, type Esptool, report, type Session } from './session.js';
import type { BeforeMode, ChipInfo, Loader, LoaderOptions, SecurityInfo } from './types.js';
import { NoAnswer, Wire } from './wire.js';

/**
 * Connects to the chip on a line, identifies it, and starts the flasher stub unless that is disabled. The speed is raised only when there
 * is much to send or to read. On failure, the line is closed.
 * @throws AIOT_CHIP_*, AIOT_SERIAL_LOST, the signal's reason
 */
export async function openLoader(line: SerialLine, options: LoaderOptions): Promise<Loader> {
  const wire = new Wire(line, options.signal, options.clock);
  try {
    return new ChipLoader(await openSession(wire, options));
  } catch (error) {
    const { address } = line;
    wire.release();
    await line.close();
    throw whyInterrupted(error, { address, doing: 'connecting', heard: wire.stray, alive: false });
  }
}

async function openSession(wire: Wire, options: LoaderOptions): Promise<Session> {
  let raised: Promise<void> | undefined;
  const session: Session = {
    ...(await begin(wire, options)),
    raiseSpeed: () => (raised ??= raiseSpeed(session)),
  };
  return session;
}

/**
 * Raises the speed to the requested one. If the chip has switched but the line cannot, the chip is reset and remains at the ROM's speed.
 */
async function raiseSpeed(session: Session): Promise<void> {
  const { wire, exchange, esptool, chip, stub, options } = session;
  if (chip.security.secureDownload) return;
  try {
    await changeBaud(exchange, esptool, { baud: options.baud, stub, esp32: chip.chip === 'esp32' });
  } catch (error) {
    const { hasControlLines } = wire.line;
    const resets = hasControlLines && (options.before === 'default-reset' || options.before === 'usb-reset');
    if (!(error instanceof AiotError && error.code === 'AIOT_SERIAL_BAUD' && resets)) throw error;
    await wire.line.setBaud(romBaud);
    Object.assign(session, await begin(wire, { ...options, baud: romBaud }));
  }
}

async function begin(wire: Wire, options: LoaderOptions): Promise<Omit<Session, 'raiseSpeed'>> {
  report({ options }, { stage: 'connect', region: null, done: 0, total: 0 });
  const attempt = (number: number, of: number) => {
    const note = `attempt ${number} of ${of}`;
    report({ options }, { stage: 'connect', region: null, done: 0, total: 0, note });
  };
  const met = await connect(wire, { before: options.before, baud: options.baud, attempt });
  // All bytes outside of packets so far were boot text, as expected.
  wire.forget();
  const exchange = new Exchange(wire);
  const identity = await identify(exchange, options.chip);
  const esptool = await makeEsptool(exchange);
  const about = await readChipInfo(esptool, identity);
  const { chip, security } = about;
  let stub = met === 'stub';
  if (!stub && options.stub && !security.secureDownload && allowsStub(chip, security.secureBoot)) {
    report({ options }, { stage: 'stub', region: null, done: 0, total: 0 });
    stub = await startStub(exchange, esptool);
  }
  esptool.remember(false);
  esptool.IS_STUB = stub;
  const flash = await attachFlash(exchange, esptool, {
    esp32: chip === 'esp32',
    stub,
    registers: !security.secureDownload,
  });
  return {
    wire,
    exchange,
    esptool,
    chip: { ...about, flash },
    securityInfo: identity.security,
    stub,
    canReset: wire.line.hasControlLines,
    options,
  };
}

async function makeEsptool(exchange: Exchange): Promise<Esptool> {
  const { ESPLoader } = await import('esptool-js');
  const { wire } = exchange;

  class OverExchange extends ESPLoader implements Esptool {
    private remembered: Map<number, number> | null = null;

    remember(on: boolean): void {
      this.remembered = on ? new Map() : null;
    }

    override async readReg(address: number): Promise<number> {
      const known = this.remembered?.get(address);
      if (known !== undefined) return known;
      const { value } = await exchange.ask({ op: op.readReg, data: words(address), ...quick });
      // esptool-js uses signed 32-bit words.
      this.remembered?.set(address, value | 0);
      return value | 0;
    }

    /** Called only by esptool-js's writeReg. Repeating it is safe, because writing a register twice is harmless. */
    override async checkCommand(what = '', code: number | null = null, data = new Uint8Array(0), sum = 0) {
      if (code !== op.writeReg)
        throw new Error(`${what}: request ${hex(code ?? 0)} is not possible without the stub`);
      const { value } = await exchange.ask({ op: code, data, checksum: sum, ...quick });
      return value;
    }
  }

  const quiet = { clean: () => {}, write: () => {}, writeLine: () => {} };
  return new OverExchange({ transport: transportFor(exchange), baudrate: wire.line.baud, terminal: quiet });
}

/** The parts of a transport that esptool-js queries; no bytes pass through it. */
function transportFor({ wire: { line } }: Exchange): Transport {
  const transport = {
    tracing: false,
    trace: () => {},
    getInfo: () => line.address,
    getVid: () => line.usb?.vendorId,
    getPid: () => line.usb?.productId,
    get baudrate() {
      return line.baud;
    },
  };
  return transport as unknown as Transport;
}

interface Identity {
  chip: ChipName;
  security: SecurityInfo | null;
  /** Whether registers can be read, which secure download mode does not allow. */
  registers: boolean;
}

const magicAddress = 0x4000_1000;

/**
 * Identifies the chip. Two kinds do not report their number and are recognized by a magic word. The word is read first, so that an ESP32 is
 * not sent an unknown request, which it would answer eight times.
 * @throws AIOT_CHIP_UNKNOWN, AIOT_CHIP_MISMATCH
 */
async function identify(exchange: Exchange, expected: ChipName | 'auto'): Promise<Identity> {
  const magic = await readMagic(exchange);
  const byMagic = magic === null ? null : chipOfMagic(magic);
  const security = byMagic === 'esp32' ? null : await readSecurity(exchange);
  const found =
    byMagic ??
    (typeof security?.chipId === 'number' ? chipOfId(security.chipId) : byRefusals(magic, security));
  const { address } = exchange.wire.line;
  if (found === null && expected === 'auto') {
    const number = security?.chipId ?? magic;
    const shown = number === null ? '' : `: it reports ${hex(number)}`;
    throw new AiotError('AIOT_CHIP_UNKNOWN', `the chip at ${address} is unknown${shown}`, {
      next: `If aiot supports the chip, specify it with --chip (${allChips()}).`,
      endpoint: address,
    });
  }
  if (found !== null && expected !== 'auto' && found !== expected) {
    throw new AiotError(
      'AIOT_CHIP_MISMATCH',
      `expected a chip of type ${expected} at ${address}, got ${found}`,
      {
        endpoint: address,
      },
    );
  }
  const chip = found ?? (expected as ChipName);
  return { chip, security, registers: magic !== null };
}

/**
 * Identifies a chip in secure download mode, which allows no register access. An ESP32 rejects both requests, and an S2 reports no
 * number.
 */
function byRefusals(magic: number | null, security: SecurityInfo | null): ChipName | null {
  if (magic !== null) return null;
  return security === null ? 'esp32' : 'esp32s2';
}

/** The chip with this magic word at 0x40001000. The two chips that need it are listed here, because esptool-js does not list them. */
function chipOfMagic(magic: number): ChipName | null {
  if (magic === 0x00f0_1d83) return 'esp32';
  return magic === 0x0000_07c6 ? 'esp32s2' : null;
}

async function readMagic(exchange: Exchange): Promise<number | null> {
  try {
    return (await exchange.ask({ op: op.readReg, data: words(magicAddress), ...quick })).value;
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

/**
 * Reads all information in a chip's fuses. The flash is examined later (`attachFlash`). Fuse reads stay cached until the caller turns the
 * cache off, because the fuses are reread when a stub is chosen.
 */
async function readChipInfo(esptool: Esptool, identity: Identity): Promise<Omit<ChipInfo, 'flash'>> {
  const { chip, security } = identity;
  esptool.chip = await targetOf(chip);
  const secureDownload = ((security?.flags ?? 0) & 0b100) !== 0 || !identity.registers;
  if (secureDownload) {
    return {
      chip,
      description: `${chipTitle(chip)} in secure download mode`,
      features: [],
      crystalMHz: 0,
      mac: '',
      security: { ...fromInfo(identity), secureDownload },
    };
  }
  esptool.remember(true);
  const { chip: target } = esptool;
  const description = await target.getChipDescription(esptool);
  return {
    chip,
    description: chip === 'esp32' ? await esp32Revision(esptool, description) : description,
    features: (await target.getChipFeatures(esptool)).map((feature) => feature.trim()),
    crystalMHz: await target.getCrystalFreq(esptool),
    mac: (await target.readMac(esptool)).toLowerCase(),
    security: { ...(await readFuses(esptool, identity)), secureDownload },
  };
}

/** esptool-js's description of a chip. */
async function targetOf(chip: ChipName): Promise<ROM> {
  const { CHIP_DEFS } = await import('esptool-js/lib/targets/index.js');
  return CHIP_DEFS[chip];
}

/** The chip's title as written in prose. */
const chipTitle = (chip: ChipName) => espChips[chip].title;

/** The choices of --chip. */
const allChips = () => chipNames.join(', ');

type Fuses = Pick<ChipInfo['security'], 'secureBoot' | 'flashEncryption'>;

function fromInfo({ security }: Identity): Fuses {
  return {
    secureBoot: ((security?.flags ?? 0) & 1) !== 0,
    flashEncryption: setBits(security?.cryptCount ?? 0) % 2 === 1,
  };
}

/** Fuses and security info contain the same settings. A setting is on if it is on in either of them. */
async function readFuses(esptool: Esptool, identity: Identity): Promise<Fuses> {
  const told = fromInfo(identity);
  const addresses = fuseAddresses(identity.chip);
  const words: number[] = [];
  for (const word of lockWords(identity.chip)) words[word] = await esptool.readReg(addresses[word] as number);
  const fuses = securityFuses(identity.chip, words);
  return {
    secureBoot: told.secureBoot || fuses.secureBoot !== null,
    flashEncryption: told.flashEncryption || fuses.encryption.enabled,
  };
}

/** Revision of an ESP32 in the form that esptool and the data sheets use, such as v3.1. esptool-js returns only the major part. */
async function esp32Revision(esptool: Esptool, description: string): Promise<string> {
  const [word3, word5] = [await esptool.readReg(0x3ff5_a00c), await esptool.readReg(0x3ff5_a014)];
  const date = await esptool.readReg(0x3ff6_607c);
  const bits = ((word3 >>> 15) & 1) | (((word5 >>> 20) & 1) << 1) | ((date >>> 31) << 2);
  const major =
    new Map([
      [0b001, 1],
      [0b011, 2],
      [0b111, 3],
    ]).get(bits) ?? 0;
  return `${description.replace(/ \(revision .*$/, '')} (revision v${major}.${(word5 >>> 24) & 0b11})`;
}

/** Chips whose ROM rejects a stub if secure boot is enabled. Source: esptool, "flasher stub". */
const noStubWhenSecure: readonly ChipName[] = [
  'esp32c3',
  'esp32s3',
  'esp32c2',
  'esp32c6',
  'esp32h2',
  'esp32c5',
  'esp32c61',
  'esp32h21',
  'esp32h4',
  'esp32p4',
];

function allowsStub(chip: ChipName, secureBoot: boolean): boolean {
  return !(secureBoot && noStubWhenSecure.includes(chip));
}

/** Loads the flasher stub into the chip's memory and starts it. @returns false if there is none for this chip */
async function startStub(exchange: Exchange, esptool: Esptool): Promise<boolean> {
  const { getStubJsonByChipName } = await import('esptool-js');
  const { chip } = esptool;
  const revision = await chip.getChipRevision?.(esptool);
  const stub = await getStubJsonByChipName(chip.CHIP_NAME, revision);
  if (!stub) return false;
  for (let left = 2; ; left--) {
    try {
      await loadRam(exchange, stub.decodedText, stub.text_start);
      await loadRam(exchange, stub.decodedData, stub.data_start);
      await run(exchange, stub.entry);
      return true;
    } catch (error) {
      if (left === 0 || !(error instanceof NoAnswer || error instanceof Refusal)) throw error;
      // The lost packet may have been the last one, in which case the stub is already running.
      await exchange.wire.drain(100, 500);
      if ((await exchange.comeIntoStep()) === 'stub') return true;
      await exchange.wire.drain(100, 500);
    }
  }
}

const greeting = Buffer.from('OHAI');

async function run(exchange: Exchange, entry: number): Promise<void> {
  await startRam(exchange, entry);
  const deadline = performance.now() + 5000;
  for (;;) {
    const left = deadline - performance.now();
    const packet = await exchange.wire.read(Math.max(1, left));
    if (!greeting.equals(packet)) continue;
    exchange.inStep();
    return;
  }
}

/**
 * Connects the ROM to its flash chip (a stub does so itself), reads the flash id, and sets the loader's flash size, which limits
 * addresses. An id of all zeros or ones means that no flash chip answers.
 */
async function attachFlash(
  exchange: Exchange,
  esptool: Esptool,
  facts: { esp32: boolean; stub: boolean; registers: boolean },
): Promise<ChipInfo['flash']> {
  if (!facts.stub) {
    const pins = facts.esp32 && facts.registers ? await esp32FlashPins(esptool) : 0;
    await exchange.ask({ op: op.spiAttach, data: words(pins, 0), ...quick });
  }
  if (!facts.registers) return { id: '', bytes: null };
  const raw = (await esptool.readFlashId()) & 0xff_ffff;
  const id = [raw, raw >>> 8, raw >>> 16].map((byte) => (byte & 0xff).toString(16).padStart(2, '0')).join('');
  const bytes = sizeOf(esptool, raw);
  if (bytes !== null) await setSize(exchange, bytes);
  return { id, bytes };
}

/** Flash size according to the third byte of a JEDEC id. esptool-js handles the manufacturers' variants. */
function sizeOf(esptool: Esptool, raw: number): number | null {
  if (raw === 0 || raw === 0xff_ffff || raw === 0x3f_ffff) return null;
  const found = /^(\d+)(K|M)B$/.exec(esptool.DETECTED_FLASH_SIZES[raw >>> 16] ?? '');
  return found ? Number(found[1]) * (found[2] === 'M' ? 1 << 20 : 1 << 10) : null;
}

async function setSize(exchange: Exchange, bytes: number): Promise<void> {
  const geometry = words(0, bytes, 0x1_0000, 0x1000, 0x100, 0xffff);
  try {
    await exchange.ask({ op: op.spiSetParams, data: geometry, ...quick });
  } catch (error) {
    // A loader that rejects the request uses its own flash size, and rejects addresses beyond it.
    if (!(error instanceof Refusal)) throw error;
  }
}

/**
 * An ESP32's flash pins, which are burned into packages with built-in flash; 0 for the default pins. Source: ESP32 Technical Reference
 * Manual, eFuse words 3 and 5; esptool, SPI_ATTACH.
 */
async function esp32FlashPins(esptool: Esptool): Promise<number> {
  const word3 = await esptool.readReg(0x3ff5_a00c);
  const word5 = await esptool.readReg(0x3ff5_a014);
  const pin = (word: number, shift: number) => (word >>> shift) & 0x1f;
  const [clk, q, d, cs, hd] = [pin(word5, 0), pin(word5, 5), pin(word5, 10), pin(word5, 15), pin(word3, 4)];
  return (hd << 24) | (cs << 18) | (d << 12) | (q << 6) | clk;
}

const attempts = 7;

const greetingsPerAttempt = 3;

const greetingMs = 100;

const confirmMs = 1000;

/**
 * Brings the chip into its loader and greets it. If the line has no DTR and RTS (a bare pty, a socket) or the user disabled the reset, it
 * only sends greetings. The chip must then already be in the loader, or the user must hold BOOT and press RESET. Also detects a chip that
 * an earlier session left at another speed.
 * @returns which loader answers: the ROM, or a stub left by an earlier session
 * @throws AIOT_CHIP_* with the detected reason, AIOT_SERIAL_LOST
 */
export async function connect(
  wire: Wire,
  options: { before: BeforeMode; baud: number; attempt?: (number: number, of: number) => void },
): Promise<'rom' | 'stub'> {
  const { line } = wire;
  const { before } = options;
  if (before === 'no-reset-no-sync') return 'rom';
  const resets =
    line.hasControlLines && before !== 'no-reset' ? downloadResets(line, before === 'usb-reset') : [];
  const bauds = resets.length > 0 ? [romBaud] : speedsToTry(options.baud);
  const heard = { atRomBaud: new Uint8Array(0), elsewhere: new Uint8Array(0) };
  for (let attempt = 0; attempt < attempts; attempt++) {
    const baud = bauds[attempt % bauds.length] ?? romBaud;
    if (attempt > 0) options.attempt?.(attempt + 1, attempts);
    if (line.baud !== baud) await line.setBaud(baud);
    wire.forget();
    const steps = resets[attempt % resets.length];
    if (steps) {
      await runSteps(line, steps, (ms) => wire.pause(ms));
      // After a reset, a chip sends no answers to earlier requests.
      wire.greetingsOwed = 0;
    }
    const by = await greet(wire, attempt);
    // A late answer may belong to a greeting at the previous speed. Only a second answer confirms that the chip uses this speed.
    if (by && (attempt === 0 || resets.length > 0 || (await sync(wire, confirmMs)))) {
      line.resetting?.(false);
      return by;
    }
    const where = baud === romBaud ? 'atRomBaud' : 'elsewhere';
    heard[where] = Buffer.concat([heard[where], wire.stray]);
  }
  if (line.baud !== romBaud) await line.setBaud(romBaud);
  // Output received at the chip's own speed is readable; at another speed it is noise.
  const told = heard.atRomBaud.length > 0 ? heard.atRomBaud : heard.elsewhere;
  throw await whyNotConnected({ line, heard: told, echoed: wire.echoed, reset: resets.length > 0 });
}

/** Speeds in the order of trying. The ROM's speed comes first and is tried again between the others, because it is the most likely one. */
function speedsToTry(wanted: number): number[] {
  const others = [...new Set([wanted, 921_600, 460_800])].filter((baud) => baud !== romBaud);
  return [...others.flatMap((baud) => [romBaud, baud]), romBaud];
}

async function greet(wire: Wire, attempt: number): Promise<'rom' | 'stub' | null> {
  for (let i = 0; i < greetingsPerAttempt; i++) {
    // Later attempts wait longer, because a network or a busy machine may be slow.
    const by = await sync(wire, greetingMs * (1 + attempt / 2));
    if (by) {
      // Answers to earlier greetings may still be in transit.
      if (attempt + i > 0) await wire.drain(100, 5000);
      return by;
    }
    await wire.pause(50);
  }
  return null;
}
