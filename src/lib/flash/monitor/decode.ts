import type { CrashAddress } from './panic.js';

/** A place in the source; null what is not known of it. */
export interface CrashFrame {
  /** `0x400d1f22` */
  address: string;
  /** A register's name, `abort`, `backtrace`, or `stack`: found there, perhaps a caller. */
  from: string;
  function: string | null;
  file: string | null;
  line: number | null;
}

export interface CrashDecoder {
  /** Addresses that are no code of the program are left out, where it is known. */
  frames(addresses: readonly CrashAddress[]): CrashFrame[];
  /** Whether the ELF file is the one with this (beginning of a) SHA-256; null without a file. */
  isFrom(elfHash: string): boolean | null;
}

/** Without an ELF file: the addresses as they are, without guesses from the stack. */
export const noDecoder: CrashDecoder = {
  frames: (addresses) => addresses.filter(({ from }) => from !== 'stack').map((each) => frame(each)),
  isFrom: () => null,
};

/** An address of which nothing is known yet. */
export function frame({ address, from }: CrashAddress): CrashFrame {
  const digits = address.toString(16).padStart(8, '0');
  return { address: `0x${digits}`, from, function: null, file: null, line: null };
}
