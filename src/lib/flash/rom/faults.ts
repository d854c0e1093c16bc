import { type Random, seededRandom } from '../../core/numbers.js';
import { op } from './protocol.js';

/** When a fault occurs: after `after` requests, and `times` times. If `op` is set, only requests with this command count. */
export interface Trigger {
  /** Only requests of this command count. */
  op?: number;
  /** Number of requests before the fault occurs (default 0). */
  after?: number;
  /** Number of occurrences (by default, once for events and unlimited for states). */
  times?: number;
}

/** Faults of a board, its cable or its power supply. */
export type Fault = Trigger &
  (
    | { kind: 'noise' | 'lost-bytes' | 'doubled-bytes'; rate: number; direction?: 'in' | 'out' }
    /** The line is lost. */
    | { kind: 'unplugged' }
    /** The board's USB port disappears at each reset over DTR and RTS, and returns a moment later. */
    | { kind: 're-enumerate' }
    /** SYNC is answered this many times instead of 8. */
    | { kind: 'stuck-sync'; answers?: number }
    /** The board sends nothing, not even boot text, as if it had no power or were wired to the wrong pins. */
    | { kind: 'silent' }
    /** The board sends, but does not receive. */
    | { kind: 'deaf' }
    /** The supply voltage dips, which resets the chip with this cause. */
    | { kind: 'brownout' }
    /** The power fails while fuses are burned. Half of the bits are burned, and the chip resets. */
    | { kind: 'burn-cut' }
    | { kind: 'reset' }
    /** The ROM or stub crashes with a register dump, and does not answer until the next reset. */
    | { kind: 'panic' }
    /** The ROM or stub stops without output, and does not answer until the next reset. */
    | { kind: 'hang' }
    | { kind: 'lost-answer' }
    /** A program prints text before an answer. */
    | { kind: 'chatter'; text?: string }
    /** A data block is rejected with this error number of the ROM or the stub. */
    | { kind: 'block-error'; error: number }
    /** The stub does not send OHAI. */
    | { kind: 'no-ohai' }
    /** Programming does not change the flash. */
    | { kind: 'stuck-flash' }
    /** The digest of a region, or the one after a read, is wrong. */
    | { kind: 'wrong-md5' }
    /** The second half of a READ_FLASH frame is missing. */
    | { kind: 'short-read' }
    /** The chip's clock divider is wrong, so its output is unreadable. */
    | { kind: 'wrong-clock' }
    /** The program does not answer Improv packets. */
    | { kind: 'no-improv' }
    /** The program never finishes joining a Wi-Fi network. */
    | { kind: 'wifi-hang' }
  );
export type FaultKind = Fault['kind'];

/** All kinds of faults, and whether each lasts or occurs once by default. */
const kinds: Record<FaultKind, 'lasts' | 'happens'> = {
  noise: 'lasts',
  'lost-bytes': 'lasts',
  'doubled-bytes': 'lasts',
  unplugged: 'happens',
  're-enumerate': 'lasts',
  'stuck-sync': 'lasts',
  silent: 'lasts',
  deaf: 'lasts',
  brownout: 'happens',
  'burn-cut': 'happens',
  reset: 'happens',
  panic: 'happens',
  hang: 'happens',
  'lost-answer': 'happens',
  chatter: 'happens',
  'block-error': 'happens',
  'no-ohai': 'happens',
  'stuck-flash': 'lasts',
  'wrong-md5': 'happens',
  'short-read': 'happens',
  'wrong-clock': 'lasts',
  'no-improv': 'lasts',
  'wifi-hang': 'lasts',
};
export const faultKinds = Object.keys(kinds) as FaultKind[];

interface Armed {
  fault: Fault;
  seen: number;
  fired: number;
}

/**
 * Whether a fault applies to this request. Without a command, block errors apply to blocks that are written to flash, not to uploads to
 * RAM.
 */
function concerns(fault: Fault, code: number | undefined): boolean {
  if (fault.op !== undefined) return fault.op === code;
  return fault.kind !== 'block-error' || code !== op.memData;
}

/** The faults of one chip, with their occurrences so far. */
export class FaultBox {
  private armed: Armed[] = [];
  private readonly random: Random;

  constructor(faults: readonly Fault[], seed: number) {
    this.random = seededRandom(seed);
    for (const fault of faults) this.add(fault);
  }

  add(fault: Fault): void {
    this.armed.push({ fault, seen: 0, fired: 0 });
  }

  /** Removes the faults of one kind, or all faults. */
  clear(kind?: FaultKind): void {
    this.armed = kind === undefined ? [] : this.armed.filter(({ fault }) => fault.kind !== kind);
  }

  list(): readonly Fault[] {
    return this.armed.map(({ fault }) => fault);
  }

  /** Returns the fault of this kind that occurs now, if any, and counts the occurrence. */
  strike<K extends FaultKind>(kind: K, code?: number): Extract<Fault, { kind: K }> | null {
    for (const entry of this.armed) {
      const { fault } = entry;
      if (fault.kind !== kind || !concerns(fault, code)) continue;
      if (entry.seen++ < (fault.after ?? 0)) continue;
      if (entry.fired >= (fault.times ?? (kinds[kind] === 'lasts' ? Number.POSITIVE_INFINITY : 1))) continue;
      entry.fired++;
      return fault as Extract<Fault, { kind: K }>;
    }
    return null;
  }

  /** Returns the bytes that arrive at the other end of the cable. */
  corrupt(bytes: Uint8Array, direction: 'in' | 'out'): Uint8Array {
    let out = bytes;
    for (const { fault } of this.armed) {
      if (fault.kind !== 'noise' && fault.kind !== 'lost-bytes' && fault.kind !== 'doubled-bytes') continue;
      if (fault.direction !== undefined && fault.direction !== direction) continue;
      const { kind, rate } = fault;
      out = Uint8Array.from(
        [...out].flatMap((byte) => {
          if (this.random() >= rate) return [byte];
          if (kind === 'lost-bytes') return [];
          return kind === 'doubled-bytes' ? [byte, byte] : [byte ^ (1 << Math.floor(this.random() * 8))];
        }),
      );
    }
    return out;
  }

  /** Simulates how a receiver with another speed sees these bytes: mostly as long runs of one level, not as text. */
  garble(bytes: Uint8Array): Uint8Array {
    const levels = [0x00, 0x80, 0xe0, 0xf8, 0xfc, 0xfe];
    return bytes.map(() => levels[Math.floor(this.random() * levels.length)] as number);
  }
}
