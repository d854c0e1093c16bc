import { createHash, type KeyObject } from 'node:crypto';
import { decode, encode } from 'cborg';
import { AiotError } from '../../core/errors.js';
import { readBytes, writeFileAtomic } from '../../core/files.js';
import {
  isMcuboot,
  type McubootImage,
  mcubootSignatures,
  mcubootVersionText,
  parseMcubootVersion,
  readMcuboot,
  writeMcuboot,
} from '../../formats/mcuboot.js';
import { publicKeyOf } from '../images/keys.js';
import { decodeSmp, encodeSmp, type SmpPacket, smpCommands, smpGroups, smpOps } from './packet.js';
import type { SmpPort } from './port.js';

/** Size of the unit for erasing and swapping, bytes. */
const sectorBytes = 4096;

/** The state of the flash, which survives resets and power cuts. */
export interface McubootFlash {
  slots: [Buffer, Buffer];
  /** Request in the trailer of the second slot; null = none. */
  pending: 'test' | 'permanent' | null;
  /** Whether the image in the first slot is on trial, so that the next reset reverts it unless it is confirmed. */
  trial: boolean;
  /** A swap in progress: the next sector, and the state after the swap. */
  swap: { sector: number; then: 'test' | 'permanent' | 'revert' } | null;
}

export interface SimulatedMcubootOptions {
  slotBytes?: number;
  /** Image in the first slot of a new board; default: a simulated program of version 1.0.0. */
  image?: Uint8Array;
  /** Key that the bootloader trusts; without one, it checks only hashes. */
  key?: KeyObject;
  /** Versions whose program crashes at startup, which resets the board. */
  crashing?: readonly string[];
  flash?: McubootFlash;
  /** Size of the SMP server's buffers, bytes. */
  bufferBytes?: number;
  /** Time between the answer to a reset request and the reset, during which the program keeps answering, ms. Default: Zephyr's. */
  resetDelayMs?: number;
  /** Time from a requested reset to the first answer, ms. */
  startMs?: number;
}

/** Thrown when the simulated power fails. */
class PowerCut extends Error {}

/**
 * A board with two slots, MCUboot (swap with revert) and Zephyr's SMP server. Each sector of a swap and each chunk of an upload is one
 * flash operation, before which the power can fail; the next start resumes a swap, as MCUboot does.
 */
export class SimulatedMcuboot {
  readonly flash: McubootFlash;
  /** Number of flash operations until the power fails; null = it does not. */
  powerFailsIn: number | null = null;
  /** Actions of the bootloader, oldest first. */
  readonly events: string[] = [];
  private running: McubootImage | null = null;
  private upload: { bytes: number; sha: string; at: number } | null = null;
  private packets = 0;
  /** Time of a requested reset, ms; null = none is requested. */
  private resetAt: number | null = null;
  /** Time until which the board is silent, ms. */
  private silentUntil = 0;
  private readonly slotBytes: number;
  private readonly bufferBytes: number;

  constructor(private readonly options: SimulatedMcubootOptions = {}) {
    this.slotBytes = options.flash?.slots[0].length ?? options.slotBytes ?? 0x40000;
    this.bufferBytes = options.bufferBytes ?? 1024;
    this.flash = options.flash ?? {
      slots: [Buffer.alloc(this.slotBytes, 0xff), Buffer.alloc(this.slotBytes, 0xff)],
      pending: null,
      trial: false,
      swap: null,
    };
    if (options.flash === undefined) this.flash.slots[0].set(options.image ?? simulatedImage('1.0.0'));
    this.start();
  }

  /** Whether a program that answers is running. */
  get alive(): boolean {
    this.resetIfDue();
    return this.running !== null;
  }

  get version(): string | null {
    this.resetIfDue();
    return this.running === null ? null : mcubootVersionText(this.running.version);
  }

  /** Turns the power on, or resets the board. */
  start(): void {
    this.resetAt = null;
    this.running = null;
    this.upload = null;
    try {
      this.boot();
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      this.powerFailsIn = null;
      this.events.push('the power failed');
    }
  }

  private resetIfDue(): void {
    if (this.resetAt === null || performance.now() < this.resetAt) return;
    this.silentUntil = this.resetAt + (this.options.startMs ?? 100);
    this.start();
  }

  /** Performs a requested reset at once. */
  finishReset(): void {
    if (this.resetAt !== null) this.start();
  }

  private boot(): void {
    const { flash } = this;
    if (flash.swap !== null) this.finishSwap();
    else if (flash.pending !== null) this.beginUpdate(flash.pending);
    else if (flash.trial) this.swapSlots('revert');
    const image = this.validImage(0);
    if (image === null) {
      this.events.push('no bootable image');
      return;
    }
    this.events.push(`started ${mcubootVersionText(image.version)}`);
    if (this.options.crashing?.includes(mcubootVersionText(image.version))) {
      this.events.push('the program crashed');
      // Its watchdog resets the board. If a confirmed program crashes, the board never answers.
      if (flash.trial) this.boot();
      return;
    }
    this.running = image;
  }

  private beginUpdate(kind: 'test' | 'permanent'): void {
    if (this.validImage(1) !== null) {
      this.swapSlots(kind);
      return;
    }
    this.events.push('the bootloader rejected the image');
    this.flash.pending = null;
    this.flash.slots[1].fill(0xff);
  }

  private swapSlots(then: 'test' | 'permanent' | 'revert'): void {
    this.flash.swap = { sector: 0, then };
    this.finishSwap();
  }

  private finishSwap(): void {
    const { flash } = this;
    const { swap, slots } = flash;
    if (swap === null) return;
    for (; swap.sector * sectorBytes < this.slotBytes; swap.sector++) {
      this.spendPower();
      const at = swap.sector * sectorBytes;
      const kept = Buffer.from(slots[0].subarray(at, at + sectorBytes));
      slots[1].copy(slots[0], at, at, at + sectorBytes);
      kept.copy(slots[1], at);
    }
    flash.trial = swap.then === 'test';
    flash.pending = null;
    flash.swap = null;
    this.events.push(swap.then === 'revert' ? 'reverted' : 'swapped');
  }

  private spendPower(): void {
    if (this.powerFailsIn === null) return;
    if (this.powerFailsIn === 0) throw new PowerCut();
    this.powerFailsIn--;
  }

  private imageIn(slot: number): McubootImage | null {
    const bytes = this.flash.slots[slot];
    if (bytes === undefined || !isMcuboot(bytes)) return null;
    try {
      return readMcuboot(bytes, `slot ${slot}`);
    } catch {
      return null;
    }
  }

  /** The image in a slot, if the bootloader accepts its hash and signature. */
  private validImage(slot: number): McubootImage | null {
    const image = this.imageIn(slot);
    if (image === null || image.intact !== true) return null;
    const { key } = this.options;
    if (key === undefined) return image;
    return mcubootSignatures(image, [key]).some(({ valid }) => valid === true) ? image : null;
  }

  /** Answers a request; null if no program runs, or it is starting. A reset takes place some time after the answer. */
  handle(bytes: Uint8Array): Uint8Array | null {
    this.resetIfDue();
    if (this.running === null || performance.now() < this.silentUntil) return null;
    let request: SmpPacket;
    try {
      request = decodeSmp(bytes);
    } catch {
      return null;
    }
    this.packets++;
    let body: Record<string, unknown>;
    try {
      body = this.answer(request);
    } catch (error) {
      if (error instanceof Refusal) body = error.body(request);
      else if (error instanceof PowerCut) {
        this.running = null;
        this.powerFailsIn = null;
        this.events.push('the power failed');
        return null;
      } else throw error;
    }
    const op = request.op === smpOps.read ? smpOps.readResponse : smpOps.writeResponse;
    const response = encodeSmp({ ...request, op, body });
    if (isCommand(request, smpGroups.os, smpCommands.os.reset))
      this.resetAt = performance.now() + (this.options.resetDelayMs ?? 250);
    return response;
  }

  private answer(request: SmpPacket): Record<string, unknown> {
    const { group, id, op, body } = request;
    const write = op === smpOps.write;
    const { os, image, statistics, shell } = smpCommands;
    switch (`${group}/${id}`) {
      case `${smpGroups.os}/${os.echo}`:
        return { r: body.d };
      case `${smpGroups.os}/${os.reset}`:
        return {};
      case `${smpGroups.os}/${os.parameters}`:
        return { buf_size: this.bufferBytes, buf_count: 4 };
      case `${smpGroups.image}/${image.state}`:
        if (write) this.mark(body);
        return { images: this.states() };
      case `${smpGroups.image}/${image.upload}`:
        return this.receive(body);
      case `${smpGroups.image}/${image.erase}`:
        this.erase(body);
        return {};
      case `${smpGroups.statistics}/${statistics.list}`:
        return { stat_list: ['smp_svr_stats'] };
      case `${smpGroups.statistics}/${statistics.data}`:
        if (body.name !== 'smp_svr_stats') throw new Refusal(smpGroups.statistics, 2, 5);
        return { name: body.name, fields: { packets: this.packets } };
      case `${smpGroups.shell}/${shell.execute}`:
        return this.execute(body);
      default:
        throw new Refusal(null, 8, 8);
    }
  }

  private execute({ argv }: Record<string, unknown>): Record<string, unknown> {
    const words = Array.isArray(argv) ? argv.map(String) : [];
    if (words.length === 0) throw new Refusal(null, 3, 3);
    if (words.join(' ') === 'kernel version') return { o: 'Zephyr version 4.2.0\r\n', ret: 0 };
    return { o: `${words[0]}: command not found\r\n`, ret: -8 };
  }

  private states(): Record<string, unknown>[] {
    const { pending, trial } = this.flash;
    return [0, 1].flatMap((slot) => {
      const image = this.imageIn(slot);
      if (image === null) return [];
      const first = slot === 0;
      return {
        slot,
        version: mcubootVersionText(image.version),
        hash: new Uint8Array(image.hash.value),
        bootable: !image.flags.includes('non-bootable'),
        pending: !first && pending !== null,
        confirmed: first ? !trial : trial,
        active: first,
        permanent: !first && pending === 'permanent',
      };
    });
  }

  private mark({ hash, confirm }: Record<string, unknown>): void {
    const { flash } = this;
    if (!(hash instanceof Uint8Array) || hash.length === 0) {
      if (confirm !== true) throw new Refusal(smpGroups.image, 24, 3);
      flash.trial = false;
      return;
    }
    const slot = [0, 1].find((index) => {
      const image = this.imageIn(index);
      return image !== null && Buffer.compare(image.hash.value, hash) === 0;
    });
    if (slot === undefined) throw new Refusal(smpGroups.image, 8, 5);
    if (slot === 0) {
      if (confirm !== true) throw new Refusal(smpGroups.image, 33, 6);
      flash.trial = false;
      return;
    }
    if (flash.trial) throw new Refusal(smpGroups.image, 28, 6);
    flash.pending = confirm === true ? 'permanent' : 'test';
  }

  private receive(request: Record<string, unknown>): Record<string, unknown> {
    const { off, data } = request;
    if (typeof off !== 'number') throw new Refusal(smpGroups.image, 20, 3);
    if (!(data instanceof Uint8Array)) throw new Refusal(smpGroups.image, 21, 3);
    if (off === 0) {
      const resumed = this.begin(data, request);
      if (resumed !== null) return { off: resumed };
    }
    const { upload } = this;
    // A chunk of another offset is answered with the expected one, so that the client continues there.
    if (upload === null || off !== upload.at) return { off: upload?.at ?? 0 };
    if (off + data.length > upload.bytes) throw new Refusal(smpGroups.image, 31, 3);
    this.spendPower();
    this.flash.slots[1].set(data, off);
    upload.at += data.length;
    if (upload.at < upload.bytes) return { off: upload.at };
    this.upload = null;
    const written = this.flash.slots[1].subarray(0, upload.bytes);
    const match = upload.sha === '' || createHash('sha256').update(written).digest('hex') === upload.sha;
    return { off: upload.at, match };
  }

  /** Begins an upload, or returns the offset at which an interrupted upload of the same image continues. */
  private begin(data: Uint8Array, { image: number = 0, len, sha }: Record<string, unknown>): number | null {
    // The board has one image. Zephyr finds no slot for others.
    if (number !== 0) throw new Refusal(smpGroups.image, 9, 2);
    if (typeof len !== 'number') throw new Refusal(smpGroups.image, 21, 3);
    if (data.length < 32) throw new Refusal(smpGroups.image, 22, 3);
    if (!isMcuboot(data)) throw new Refusal(smpGroups.image, 23, 3);
    const digest = sha instanceof Uint8Array ? Buffer.from(sha).toString('hex') : '';
    const same = this.upload !== null && digest !== '' && this.upload.sha === digest;
    if (same && this.upload !== null && this.upload.bytes === len && this.upload.at > 0)
      return this.upload.at;
    if (this.flash.pending !== null || this.flash.trial) throw new Refusal(smpGroups.image, 9, 2);
    // The last sector holds the trailer.
    if (len > this.slotBytes - sectorBytes) throw new Refusal(smpGroups.image, 30, 3);
    this.spendPower();
    this.flash.slots[1].fill(0xff);
    this.upload = { bytes: len, sha: digest, at: 0 };
    return null;
  }

  private erase({ slot = 1 }: Record<string, unknown>): void {
    if (slot !== 1) throw new Refusal(smpGroups.image, slot === 0 ? 9 : 14, 3);
    if (this.flash.pending !== null || this.flash.trial) throw new Refusal(smpGroups.image, 9, 6);
    this.spendPower();
    this.flash.slots[1].fill(0xff);
    this.upload = null;
  }
}

const isCommand = (packet: SmpPacket, group: number, id: number) =>
  packet.group === group && packet.id === id && packet.op === smpOps.write;

/** An error of the server: a code of its group for version 2, and a common one for version 1. */
class Refusal extends Error {
  constructor(
    private readonly group: number | null,
    private readonly code: number,
    private readonly common: number,
  ) {
    super(`${code}`);
  }

  body({ version }: SmpPacket): Record<string, unknown> {
    if (version === 1 && this.group !== null) return { err: { group: this.group, rc: this.code } };
    return { rc: this.group === null ? this.code : this.common };
  }
}

/** A simulated program of a version, as an image with only a hash. */
export function simulatedImage(version: string): Uint8Array {
  return writeMcuboot(Buffer.from(`simulated program ${version}`), {
    version: parseMcubootVersion(version),
    headerBytes: 0x200,
    padHeader: true,
    slotBytes: 0x40000,
  });
}

/**
 * Opens a board that is simulated in this process: `simulated:mcuboot`, with optional settings such as
 * `simulated:mcuboot?state=board.flash&key=public.pem&crash=2.0.0`. With `state`, the flash is stored in a file.
 * @throws AIOT_USAGE (unknown setting), AIOT_FILE_…
 */
export async function openSimulatedMcuboot(address: string): Promise<SmpPort> {
  const settings = new URLSearchParams(address.slice('simulated:mcuboot'.length).replace(/^\?/, ''));
  const known = ['state', 'key', 'crash', 'image', 'cut'];
  const unknown = [...settings.keys()].find((name) => !known.includes(name));
  if (unknown !== undefined || !/^simulated:mcuboot(\?|$)/.test(address))
    throw new AiotError(
      'AIOT_USAGE',
      `${address}: expected simulated:mcuboot, with settings ${known.join(', ')} as in simulated:mcuboot?state=board.flash`,
    );
  const [state, key, image] = [settings.get('state'), settings.get('key'), settings.get('image')];
  const flash = state === null ? null : await savedFlash(state);
  const device = new SimulatedMcuboot({
    ...(flash === null ? {} : { flash }),
    ...(key === null ? {} : { key: await publicKeyOf(key) }),
    ...(image === null ? {} : { image: await readBytes(image) }),
    crashing: settings.getAll('crash'),
  });
  if (image !== null && flash === null && !device.alive)
    throw new AiotError('AIOT_IMAGE_MALFORMED', `${address}: the bootloader accepts no image in ${image}`, {
      next: 'Pass a signed MCUboot image, and the public part of its key. To check the image, run `aiot firmware verify`.',
    });
  const cut = settings.get('cut');
  if (cut !== null && !/^\d{1,9}$/.test(cut))
    throw new AiotError(
      'AIOT_USAGE',
      `${address}: cut: expected a number of flash operations, got ${cut || 'nothing'}`,
      {
        next: 'For example, simulated:mcuboot?cut=30 simulates a power failure before the 31st operation.',
      },
    );
  if (cut !== null) device.powerFailsIn = Number(cut);
  let listener: (packet: Uint8Array) => void = () => {};
  return {
    address,
    mostBytes: 8192,
    window: 4,
    send: async (packet) => {
      const response = device.handle(packet);
      if (response !== null) setImmediate(() => listener(response));
      // After a power cut, the power is restored.
      else if (!device.alive) device.start();
    },
    onPacket: (added) => {
      listener = added;
    },
    close: async () => {
      device.finishReset();
      if (state !== null) await writeFileAtomic(state, encode(device.flash));
    },
  };
}

async function savedFlash(file: string): Promise<McubootFlash | null> {
  const bytes = await readBytes(file).catch((error: unknown) => {
    if (error instanceof AiotError && error.code === 'AIOT_FILE_NOT_FOUND') return null;
    throw error;
  });
  if (bytes === null) return null;
  try {
    const flash = decode(bytes) as McubootFlash;
    const [first, second] = flash.slots;
    return { ...flash, slots: [Buffer.from(first), Buffer.from(second)] };
  } catch (cause) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${file} is not the flash of a simulated board`, { cause });
  }
}
