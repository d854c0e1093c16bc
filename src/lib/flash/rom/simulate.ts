import { once } from 'node:events';
import { existsSync } from 'node:fs';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readBytes, requireWritable, writeFileAtomic } from '../../core/files.js';
import { timeLimit } from '../../core/tasks.js';
import { didYouMean } from '../../core/text.js';
import { lineLost, type SerialLine } from '../port/line.js';
import { withoutPasswords } from '../port/list.js';
import { returningLine } from '../port/returning-line.js';
import { SimulatedChip } from './chip.js';
import { parseStartFaults, serveControl } from './control.js';
import { type SimulatedChipName, simulatedChipNames } from './identity.js';
import type { BootMode } from './program.js';
import { parseListen, type ServedChip, serveChip, simulatedLine } from './serve.js';
import { parseNetwork, wifiBoard } from './wifi-board.js';

export const chipEventSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('serving'),
    port: z.string().describe('Value for --port.'),
    chip: z.enum(simulatedChipNames),
    mac: z.string(),
    control: z.string().nullable().describe('Address of the control channel.'),
  }),
  z.object({ event: z.literal('state'), state: z.enum(['rom', 'stub', 'program', 'held', 'crashed']) }),
  z.object({ event: z.literal('saved'), file: z.string(), bytes: z.int() }),
]);
export type ChipEvent = z.infer<typeof chipEventSchema>;

export interface SimulateChipOptions {
  chip: SimulatedChipName;
  mac?: string | undefined;
  /** Address to listen on: `pty`, `socket://HOST:PORT` or `rfc2217://HOST:PORT`. Port 0 chooses a free one. */
  listen: string;
  boot: BootMode;
  /** File with the contents of the flash: read if it exists, and written at the end. */
  flashFile?: string | undefined;
  /** Faults as on the control channel, such as `noise rate=0.001`, and fuses, such as `secure-boot`. */
  faults: readonly string[];
  /** TCP port of the control channel; absent = none. */
  control?: number | undefined;
  forMs?: number | undefined;
  signal: AbortSignal;
  onEvent: (event: ChipEvent) => void;
}

/**
 * Provides a simulated chip as a serial port until `signal` is aborted or `forMs` has passed. It has the timing of a UART
 * and a flash chip.
 * @throws AIOT_USAGE, AIOT_SERIAL_NOT_FOUND (no socat), AIOT_PORT_IN_USE, AIOT_FILE_…
 */
export async function simulateChip(options: SimulateChipOptions): Promise<void> {
  const { flashFile, onEvent, signal } = options;
  const how = parseListen(options.listen);
  const { faults, security } = parseStartFaults(options.faults);
  if (flashFile !== undefined) await requireWritable(flashFile);
  const flash = flashFile !== undefined && existsSync(flashFile) ? await readBytes(flashFile) : undefined;
  const { chip: name, boot, mac } = options;
  const chip = new SimulatedChip({
    ...{ chip: name, boot, faults, security },
    timing: 'uart',
    ...(mac === undefined ? {} : { mac }),
    ...(flash ? { flash } : {}),
  });
  const open: ServedChip[] = [];
  const ends: (() => void)[] = [];
  try {
    const served = await serveChip(chip, how);
    open.push(served);
    const control = options.control === undefined ? null : await serveControl(chip, options.control);
    if (control) open.push(control);
    const { mac } = chip;
    onEvent({ event: 'serving', port: served.address, chip: name, mac, control: control?.address ?? null });
    ends.push(chip.onState((state) => onEvent({ event: 'state', state })));
    await over(signal, options.forMs);
  } finally {
    for (const end of ends) end();
    for (const served of open) await served.close();
    chip.powerOff();
  }
  if (flashFile === undefined) return;
  await writeFileAtomic(flashFile, chip.flash.bytes);
  onEvent({ event: 'saved', file: flashFile, bytes: chip.flash.size });
}

/** Resolves when the signal is aborted or the time is up, whichever comes first. */
async function over(signal: AbortSignal, forMs?: number): Promise<void> {
  const ended = timeLimit(forMs, signal);
  // A pty and a timeout do not keep the process alive.
  const release = keepAlive();
  try {
    if (!ended.aborted) await once(ended, 'abort');
  } finally {
    release();
  }
}

/** Keeps the process alive until the returned function is called. */
function keepAlive(): () => void {
  const timer = setInterval(() => undefined, 1 << 30);
  return () => clearInterval(timer);
}

/** Formats an event as human-readable text. */
export function describeChipEvent(event: ChipEvent): string {
  switch (event.event) {
    case 'serving':
      return `${event.chip} ${event.mac} at ${event.port}${event.control ? `, control at ${event.control}` : ''}`;
    case 'state':
      return stateTexts[event.state];
    case 'saved':
      return `flash saved to ${event.file}`;
  }
}

const stateTexts = {
  rom: 'in download mode',
  stub: 'flasher stub runs',
  program: 'runs the program in its flash',
  held: 'held in reset',
  crashed: 'crashed',
};

const chipOptions: readonly string[] = ['flash', 'fuses', 'mac', 'fault', 'network', 'hidden-network'];

const chipAddress = /^simulated:([^?]*)(?:\?(.*))?$/;

/**
 * Opens a line to a new simulated chip in this process: `simulated:CHIP`, with options as in
 * `simulated:esp32s3?flash=board.bin&fault=secure-boot`. Its flash is lost when the line is closed, unless `flash` names a file.
 * @param address with `flash` and `fuses` (files that are read if they exist, and written at the end), `mac`, and any number of `fault`s.
 * If a `network` or `hidden-network` (NAME:PASSWORD) is in its range, the chip runs firmware that Improv can configure instead of the image
 * in flash.
 * @throws AIOT_USAGE, AIOT_FILE_…
 */
export async function openChipLine(address: string, baud: number): Promise<SerialLine> {
  const [, name = '', query = ''] = chipAddress.exec(address) ?? [];
  const chipName = simulatedChipNames.find((known) => known === name);
  if (chipName === undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      `${address}: expected one of ${simulatedChipNames.join(', ')} after simulated:, got "${name}"${didYouMean(name, simulatedChipNames)}`,
    );
  }
  const options = new URLSearchParams(query);
  const unknown = [...options.keys()].find((key) => !chipOptions.includes(key));
  if (unknown !== undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      `${address}: expected ${chipOptions.slice(0, -1).join(', ')} or ${chipOptions.at(-1)} after ?, got ${unknown}${didYouMean(unknown, chipOptions)}`,
    );
  }
  const networks = [
    ...options.getAll('network').map((text) => parseNetwork(text, false)),
    ...options.getAll('hidden-network').map((text) => parseNetwork(text, true)),
  ];
  const { faults, security } = parseStartFaults(options.getAll('fault'));
  const [file, mac] = [options.get('flash'), options.get('mac')];
  const fuseFile = options.get('fuses');
  const stored = async (path: string | null) => {
    if (path === null) return undefined;
    await requireWritable(path);
    return existsSync(path) ? await readBytes(path) : undefined;
  };
  const [flash, fuses] = [await stored(file), await stored(fuseFile)];
  const chip = new SimulatedChip({
    ...{ chip: chipName, faults, security },
    ...(mac === null ? {} : { mac }),
    ...(flash && { flash }),
    fuses,
    ...(networks.length > 0 && { preloaded: wifiBoard(networks) }),
  });
  const open = (baud: number) => simulatedLine(chip, { address: withoutPasswords(address), baud });
  const line = faults.some(({ kind }) => kind === 're-enumerate')
    ? returningLine(open(baud), {
        reopen: async (baud) => {
          if (chip.isAbsent) throw lineLost(address, 'the port is absent');
          return open(baud);
        },
      })
    : open(baud);
  // Unlike any other port, a chip in this process has no system handle.
  const release = keepAlive();
  const close = line.close.bind(line);
  let closed: Promise<void> | undefined;
  line.close = () =>
    (closed ??= (async () => {
      release();
      await close();
      chip.powerOff();
      if (file !== null) await writeFileAtomic(file, chip.flash.bytes);
      if (fuseFile !== null && chip.fuses !== null) await writeFileAtomic(fuseFile, chip.fuses.save());
    })());
  return line;
}
