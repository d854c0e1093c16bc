import { AiotError } from '../../core/index.js';
import { holdersOf } from '../port/holders.js';
import type { SerialLine } from '../port/types.js';
import { type BootText, isReadable, lastWords, readBootText } from './boot-text.js';

export interface ConnectFacts {
  line: SerialLine;
  /** What came from the chip besides answers. */
  heard: Uint8Array;
  /** Our own packets came back. */
  echoed: boolean;
  /** DTR and RTS were used to reset the chip. */
  reset: boolean;
}

/** Why no chip answered: the most telling of what was heard. */
export async function whyNotConnected(facts: ConnectFacts): Promise<AiotError> {
  const { line, heard, reset } = facts;
  const told = whatChipSays(line.address, heard) ?? whatBootModeSays(facts);
  if (told) return told;
  const at = { endpoint: line.address, retryable: true };
  const others = line.kind === 'serial' ? await holdersOf(line.address) : [];
  if (others.length > 0) {
    const who = others.map(({ name, pid }) => `${name}, pid ${pid}`).join('; ');
    return new AiotError(
      'AIOT_SERIAL_BUSY',
      `no answer at ${line.address}, which ${who} has open too and may take the answers`,
      { next: `End it (${who}), then repeat the command.`, ...at },
    );
  }
  if (facts.echoed) {
    return new AiotError('AIOT_CHIP_GARBLED', `${line.address}: what is sent comes back unchanged`, {
      next: 'TX and RX are joined, or a terminal echoes: look at the wiring.',
      ...at,
    });
  }
  if (isReadable(heard)) {
    const how = reset ? 'the reset lines (DTR, RTS) do not reach the chip' : 'the board runs its program';
    const message = `no loader answers at ${line.address}, but text comes: ${how}; it says "${lastWords(heard)}"`;
    return new AiotError('AIOT_CHIP_BOOT_MODE', message, at);
  }
  if (heard.length > 0) {
    const message = `${heard.length} bytes came from ${line.address}, but neither an answer nor text at ${line.baud} baud`;
    return new AiotError('AIOT_CHIP_GARBLED', message, at);
  }
  return new AiotError('AIOT_CHIP_SILENT', `nothing comes from the chip at ${line.address}`, at);
}

function whatBootModeSays({ line, heard, reset }: ConnectFacts): AiotError | null {
  const { mode, flashEmpty } = readBootText(heard);
  if (!mode) return null;
  const at = { endpoint: line.address, retryable: true };
  const shown = `boot:0x${mode.value.toString(16)}${mode.name ? ` (${mode.name})` : ''}`;
  if (mode.download) {
    const message = `the chip at ${line.address} waits for a download (${shown}), but does not hear what is sent`;
    return new AiotError('AIOT_CHIP_DEAF', message, at);
  }
  const how = reset ? 'after the reset' : 'at its last start';
  const empty = flashEmpty ? '; its flash is empty' : '';
  const message = `the chip at ${line.address} started its program ${how}, not the loader: ${shown}, so its boot pin was high${empty}`;
  return new AiotError('AIOT_CHIP_BOOT_MODE', message, at);
}

/** A reason that the chip itself told, however far the work was; null when it told none. */
export function whatChipSays(address: string, heard: Uint8Array): AiotError | null {
  const boot: BootText = readBootText(heard);
  const at = { endpoint: address, retryable: true };
  if (boot.downloadDisabled) {
    return new AiotError(
      'AIOT_CHIP_LOCKED',
      `the chip at ${address} says that its download mode is disabled`,
      {
        endpoint: address,
      },
    );
  }
  if (boot.brownOut) {
    const often = boot.starts > 1 ? ` (${boot.starts} starts seen)` : '';
    return new AiotError('AIOT_CHIP_BROWNOUT', `the chip at ${address} was reset by a brown-out${often}`, at);
  }
  if (boot.crash) {
    return new AiotError('AIOT_CHIP_CRASHED', `the chip at ${address} crashed: ${boot.crash}`, at);
  }
  return null;
}
