/** An address in a crash and its role: a register's name, `abort`, `backtrace`, or `stack` (found on the stack; it may be a caller). */
interface CrashAddress {
  address: number;
  from: string;
}

/** Information from one or more lines of a crash. */
export interface CrashPart {
  /** Cause of the crash, such as `Core 0 panic'ed (LoadProhibited)`; null if that line has not arrived. */
  reason: string | null;
  addresses: CrashAddress[];
  /** Start of the SHA-256 of the program's ELF file, as printed by ESP-IDF; null if it has not been printed yet. */
  elfHash: string | null;
}

const start =
  /(Guru Meditation Error|panic'ed|abort\(\) was called at PC|assert failed:|Fatal exception|\bPANIC\b|Stack smashing protect|stack overflow in task)/i;

/** Restores a code address. Xtensa's windowed calls store the caller's window in the two highest bits of a return address. */
const ofWindow = (address: number) => ((address & 0x3fffffff) | 0x40000000) >>> 0;

const word = /0x([0-9a-f]{8})/gi;

/**
 * Detects crashes of ESP-IDF (Xtensa and RISC-V), Arduino and esp-backtrace in lines of output, and collects their addresses. Source:
 * ESP-IDF, "Fatal Errors", and components/esp_system/port/arch (panic_arch.c of both).
 */
export class CrashWatch {
  private reason: string | null = null;
  private elfHash: string | null = null;
  private within = 0;
  private stack: CrashAddress[] = [];

  /** Returns the parts that are complete after this line. */
  read(line: string): CrashPart[] {
    const parts: CrashPart[] = [];
    const isStack = /^[0-9a-f]{8}: (?:0x[0-9a-f]{8}\s*)+$/i.test(line);
    if (!isStack && this.stack.length > 0) parts.push(this.part(this.stack.splice(0)));
    if (start.test(line)) {
      if (this.within === 0) this.elfHash = null;
      this.reason = line.trim();
      this.within = 400;
    }
    const hash = /^ELF file SHA256:\s+([0-9a-f]{8,64})/i.exec(line)?.[1];
    if (hash) {
      this.elfHash = hash.toLowerCase();
      parts.push(this.part([]));
    }
    if (isStack && this.within > 0)
      this.stack.push(...words(line.slice(9)).map((address) => ({ address, from: 'stack' })));
    else {
      const addresses = [...atAbort(line), ...backtrace(line, this.within > 0), ...registers(line)];
      if (addresses.length > 0) parts.push(this.part(addresses));
    }
    if (this.within > 0) this.within--;
    // The chip has restarted, so a later crash has its own reason.
    if (/rst:0x[0-9a-f]+ \(/.test(line)) this.forget();
    return parts;
  }

  /** Called at the end of the output. Returns the remaining part. */
  end(): CrashPart[] {
    return this.stack.length > 0 ? [this.part(this.stack.splice(0))] : [];
  }

  private part(addresses: CrashAddress[]): CrashPart {
    return { reason: this.reason, addresses, elfHash: this.elfHash };
  }

  private forget(): void {
    this.reason = null;
    this.elfHash = null;
    this.within = 0;
  }
}

function atAbort(line: string): CrashAddress[] {
  const found = /abort\(\) was called at PC 0x([0-9a-f]{8})/i.exec(line)?.[1];
  return found ? [{ address: Number.parseInt(found, 16), from: 'abort' }] : [];
}

/**
 * Addresses in a line such as `Backtrace: 0x400d1f22:0x3ffb5f10 …`. esp-backtrace writes one address per line, which counts only within a
 * crash.
 */
function backtrace(line: string, within: boolean): CrashAddress[] {
  const list = /^\s*Backtrace:\s?((?:\s*0x[0-9a-f]{8}:0x[0-9a-f]{8})+)/i.exec(line)?.[1];
  if (list)
    return [...list.matchAll(/0x([0-9a-f]{8}):/gi)].map(([, address = '']) => ({
      address: Number.parseInt(address, 16),
      from: 'backtrace',
    }));
  const single = within ? /^\s*(?:\d+:\s*)?0x(4[0-9a-f]{7})(?:\s*-.*)?$/i.exec(line)?.[1] : undefined;
  return single ? [{ address: Number.parseInt(single, 16), from: 'backtrace' }] : [];
}

/** Code addresses in a register dump: the program counter and the return addresses. */
function registers(line: string): CrashAddress[] {
  const named = [...line.matchAll(/\b(PC|MEPC|RA|A0|EPC1)\s*: 0x([0-9a-f]{8})/gi)];
  return named.flatMap(([, name = '', digits = '']) => {
    const register = name.toUpperCase();
    const value = Number.parseInt(digits, 16);
    if (value === 0) return [];
    // RISC-V's dump also has an A0, but it contains an argument. Xtensa's dump has PC or PS on the same line.
    if (register === 'A0')
      return /\bP[CS]\s*:/i.test(line) ? [{ address: ofWindow(value), from: register }] : [];
    return [{ address: value, from: register }];
  });
}

function words(text: string): number[] {
  return [...text.matchAll(word)].map(([, digits = '']) => Number.parseInt(digits, 16));
}

/** A location in the source code. Unknown parts are null. */
export interface CrashFrame {
  /** The address as text, such as `0x400d1f22`. */
  address: string;
  /** A register's name, `abort`, `backtrace`, or `stack` (found on the stack; it may be a caller). */
  from: string;
  function: string | null;
  file: string | null;
  line: number | null;
}

export interface CrashDecoder {
  /** Decodes addresses. If the program is known, addresses outside its code are omitted. */
  frames(addresses: readonly CrashAddress[]): CrashFrame[];
  /** Whether the ELF file has this SHA-256, or one that starts with it; null without a file. */
  isFrom(elfHash: string): boolean | null;
}

/** A decoder without an ELF file. It returns only the addresses themselves, without those found on the stack. */
export const noDecoder: CrashDecoder = {
  frames: (addresses) => addresses.filter(({ from }) => from !== 'stack').map((each) => frame(each)),
  isFrom: () => null,
};

/** A frame with only its address. */
export function frame({ address, from }: CrashAddress): CrashFrame {
  const digits = address.toString(16).padStart(8, '0');
  return { address: `0x${digits}`, from, function: null, file: null, line: null };
}
