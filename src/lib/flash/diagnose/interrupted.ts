import { AiotError } from '../../core/index.js';
import { Refusal } from '../loader/exchange.js';
import { NoAnswer } from '../loader/wire.js';
import { readBootText } from './boot-text.js';
import { whatChipSays } from './not-connected.js';

export interface WorkFacts {
  address: string;
  /** What was being done: `writing app.bin at 0x10000`. */
  doing: string;
  /** What came from the chip besides answers since the work began. */
  heard: Uint8Array;
  /** Whether the loader still greets back. */
  alive: boolean;
  /** The ROM's loader greets back instead of ours: the chip was reset. */
  restarted?: boolean;
}

/** Numbers of ROM and stub for data that arrived damaged, however often they were sent. */
const corrupted = new Set([0x05, 0x07, 0x0b, 0x0c, 0xc0, 0xc1, 0xc2, 0xc6, 0xc7, 0xc8, 0xc9]);
const notRead = new Set([0x09, 0x0a]);

/** The error of work that a chip did not finish, for people. An AiotError stays what it is. */
export function whyInterrupted(error: unknown, facts: WorkFacts): unknown {
  if (!(error instanceof NoAnswer || error instanceof Refusal)) return error;
  const { address, doing } = facts;
  const at = { endpoint: address, retryable: true, cause: error };
  const told = whatChipSays(address, facts.heard);
  if (told) return told;
  const { mode, reset } = readBootText(facts.heard);
  if (mode || facts.restarted) {
    const why = reset ? ` (${reset})` : '';
    return new AiotError('AIOT_CHIP_CRASHED', `the chip at ${address} was reset${why} while ${doing}`, at);
  }
  if (error instanceof Refusal) return whyRefused(error, facts);
  if (facts.alive) {
    return new AiotError('AIOT_FLASH_CORRUPTED', `answers from ${address} were lost while ${doing}`, at);
  }
  if (facts.heard.length > 0) {
    const message = `the chip at ${address} left its loader while ${doing}: it was reset, or crashed`;
    return new AiotError('AIOT_CHIP_CRASHED', message, at);
  }
  return new AiotError('AIOT_CHIP_STOPPED', `the chip at ${address} stopped answering while ${doing}`, at);
}

function whyRefused(refusal: Refusal, { address, doing }: WorkFacts): AiotError {
  const at = { endpoint: address, retryable: true, cause: refusal };
  const number = `0x${refusal.status.toString(16)}`;
  if (refusal.unsupported) {
    return new AiotError(
      'AIOT_CHIP_LOCKED',
      `the chip at ${address} does not allow it: ${doing} (error ${number})`,
      {
        ...at,
        next: 'Do it without --no-stub; a chip in secure download mode allows writing alone. aiot flash info shows its fuses.',
      },
    );
  }
  if (corrupted.has(refusal.status)) {
    const message = `data to ${address} arrived damaged while ${doing} (error ${number})`;
    return new AiotError('AIOT_FLASH_CORRUPTED', message, at);
  }
  const code =
    notRead.has(refusal.status) || doing.startsWith('read') ? 'AIOT_FLASH_READ' : 'AIOT_FLASH_WRITE';
  return new AiotError(code, `the chip at ${address} failed while ${doing} (error ${number})`, at);
}
