import { AiotError } from '../../core/index.js';
import { whyInterrupted } from '../diagnose/interrupted.js';
import type { SerialLine } from '../port/types.js';
import { changeBaud } from './baud.js';
import { readChipInfo } from './chip-info.js';
import { connect, romBaud } from './connect.js';
import { makeEsptool } from './esptool.js';
import { Exchange } from './exchange.js';
import { attachFlash } from './flash-chip.js';
import { identify } from './identify.js';
import { ChipLoader } from './loader.js';
import { report, type Session } from './session.js';
import { allowsStub, startStub } from './stub.js';
import type { Loader, LoaderOptions } from './types.js';
import { Wire } from './wire.js';

/**
 * Connects to the chip at a line, finds out what it is, and starts the flasher stub unless told not to. The speed is raised
 * when there is much to send or to read. Closes the line when any of it fails.
 *
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

/** Where the speed is one that only the chip can do, begins again, and stays at the ROM's. */
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
  // What came up to here was boot text, as it should be.
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
    stub,
    canReset: wire.line.hasControlLines,
    options,
  };
}
