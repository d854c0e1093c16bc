import { AiotError } from '../core/errors.js';
import { hex } from '../core/figures.js';
import { Refusal } from './loader/exchange.js';
import { NoAnswer } from './loader/wire.js';
import type { SerialLine } from './port/line.js';
import { holdersOf } from './port/list.js';

interface ConnectFacts {
  line: SerialLine;
  /** Bytes from the chip outside of answers. */
  heard: Uint8Array;
  /** Whether our own packets were echoed. */
  echoed: boolean;
  /** Whether DTR and RTS were used to reset the chip. */
  reset: boolean;
}

/** Explains why no chip answered, based on the most informative evidence received. */
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
      `no response at ${line.address}: ${who} also has the port open and may be receiving the responses`,
      { next: `Close that program (${who}), then repeat the command.`, ...at },
    );
  }
  if (facts.echoed) {
    return new AiotError('AIOT_CHIP_GARBLED', `${line.address}: all data sent is echoed back`, {
      next: 'Check the wiring: TX and RX may be connected to each other, or a terminal may be echoing.',
      ...at,
    });
  }
  if (isReadable(heard)) {
    const how = reset
      ? 'the reset lines (DTR, RTS) do not reach the chip'
      : 'the board is running its program';
    const message = `no bootloader responds at ${line.address}, but text arrives: ${how}. Last output: "${lastWords(heard)}"`;
    return new AiotError('AIOT_CHIP_BOOT_MODE', message, at);
  }
  if (heard.length > 0) {
    const message = `${heard.length} bytes arrived from ${line.address}, but they are neither a response nor text at ${line.baud} baud`;
    return new AiotError('AIOT_CHIP_GARBLED', message, at);
  }
  return new AiotError('AIOT_CHIP_SILENT', `no data arrives from the chip at ${line.address}`, at);
}

function whatBootModeSays({ line, heard, reset }: ConnectFacts): AiotError | null {
  const { mode, flashEmpty } = readBootText(heard);
  if (!mode) return null;
  const at = { endpoint: line.address, retryable: true };
  const shown = `boot:${hex(mode.value)}${mode.name ? ` (${mode.name})` : ''}`;
  if (mode.download) {
    const message = `the chip at ${line.address} is waiting for a download (${shown}), but does not receive the data sent to it`;
    return new AiotError('AIOT_CHIP_DEAF', message, at);
  }
  const how = reset ? 'after the reset' : 'at its last boot';
  const empty = flashEmpty ? '; its flash is empty' : '';
  const message = `the chip at ${line.address} started its program ${how} instead of the bootloader: ${shown}, so its boot pin was high${empty}`;
  return new AiotError('AIOT_CHIP_BOOT_MODE', message, at);
}

/** The error for a problem that the chip itself reported, at any stage; null if the chip reported none. */
function whatChipSays(address: string, heard: Uint8Array): AiotError | null {
  const boot: BootText = readBootText(heard);
  const at = { endpoint: address, retryable: true };
  if (boot.downloadDisabled) {
    return new AiotError(
      'AIOT_CHIP_LOCKED',
      `the chip at ${address} reports that its download mode is disabled`,
      {
        endpoint: address,
      },
    );
  }
  if (boot.brownOut) {
    const often = boot.starts > 1 ? ` (${boot.starts} boots seen)` : '';
    return new AiotError('AIOT_CHIP_BROWNOUT', `the chip at ${address} was reset by a brown-out${often}`, at);
  }
  if (boot.crash) {
    return new AiotError('AIOT_CHIP_CRASHED', `the chip at ${address} crashed: ${boot.crash}`, at);
  }
  return null;
}

interface WorkFacts {
  address: string;
  /** The current operation: `writing app.bin at 0x10000`. */
  doing: string;
  /** Bytes that the chip has sent since the operation began and that do not belong to an answer. */
  heard: Uint8Array;
  /** Whether the loader still answers a greeting. */
  alive: boolean;
  /** Whether the ROM loader answers instead of the stub, which means that the chip was reset. */
  restarted?: boolean;
}

/** Error numbers that the ROM and the stub use for corrupted data. */
const corrupted = new Set([0x05, 0x07, 0x0b, 0x0c, 0xc0, 0xc1, 0xc2, 0xc6, 0xc7, 0xc8, 0xc9]);

const notRead = new Set([0x09, 0x0a]);

/** A readable error for an operation that the chip did not finish. Any other error is returned unchanged. */
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
    return new AiotError('AIOT_FLASH_CORRUPTED', `responses from ${address} were lost while ${doing}`, at);
  }
  if (facts.heard.length > 0) {
    const message = `the chip at ${address} left its bootloader while ${doing}: it was reset or crashed`;
    return new AiotError('AIOT_CHIP_CRASHED', message, at);
  }
  return new AiotError('AIOT_CHIP_STOPPED', `the chip at ${address} stopped responding while ${doing}`, at);
}

function whyRefused(refusal: Refusal, { address, doing }: WorkFacts): AiotError {
  const at = { endpoint: address, retryable: true, cause: refusal };
  const number = hex(refusal.status);
  if (refusal.unsupported) {
    return new AiotError(
      'AIOT_CHIP_LOCKED',
      `the chip at ${address} does not allow this operation: ${doing} (error ${number})`,
      {
        ...at,
        next: 'Repeat without --no-stub. A chip in secure download mode only allows writing. To see its fuses, run `aiot board info`.',
      },
    );
  }
  if (corrupted.has(refusal.status)) {
    const message = `data to ${address} was corrupted while ${doing} (error ${number})`;
    return new AiotError('AIOT_FLASH_CORRUPTED', message, at);
  }
  const code =
    notRead.has(refusal.status) || doing.startsWith('read') ? 'AIOT_FLASH_READ' : 'AIOT_FLASH_WRITE';
  return new AiotError(code, `the chip at ${address} failed while ${doing} (error ${number})`, at);
}

/** Serial output of a chip outside of answers: the ROM's boot text, a crash, or a program's output. */
export interface BootText {
  /** The strapping pins as the ROM read them at its last start: `boot:0x13 (SPI_FAST_FLASH_BOOT)`. */
  mode: { value: number; name: string; download: boolean } | null;
  /** Cause of the chip's last reset: `RTCWDT_BROWN_OUT_RESET`. */
  reset: string | null;
  /** Number of starts in the text. */
  starts: number;
  brownOut: boolean;
  /** First line of a crash report, such as `Guru Meditation Error: Core  0 panic'ed (LoadProhibited)`; null if there is none. */
  crash: string | null;
  /** Whether the ROM reports that its download mode is disabled by fuses. */
  downloadDisabled: boolean;
  /** Whether the ROM found no program at the bootloader's offset. */
  flashEmpty: boolean;
}

/** Parses boot text. Source: the output of the mask ROMs (ESP32, C3, S3) and of ESP-IDF's panic handler. */
export function readBootText(bytes: Uint8Array): BootText {
  const text = Buffer.from(bytes).toString('latin1');
  const starts = [...text.matchAll(/rst:0x([0-9a-f]+) \((\w+)\)/gi)];
  const modes = [...text.matchAll(/boot:0x([0-9a-f]+)(?: \(([^\r\n]*)\))?/gi)];
  const last = modes.at(-1);
  const name = last?.[2] ?? '';
  const waits = /waiting for download|wait u(art|sb)\w* download/i.test(text.slice(last?.index ?? 0));
  return {
    mode: last
      ? { value: Number.parseInt(last[1] ?? '', 16), name, download: waits || isDownload(name) }
      : null,
    reset: starts.at(-1)?.[2] ?? null,
    starts: starts.length,
    brownOut: /BROWN_?OUT_(RST|RESET)|Brownout detector was triggered/i.test(text),
    crash: /(?:Guru Meditation Error|Fatal exception)[^\r\n]*/.exec(text)?.[0] ?? null,
    downloadDisabled: /Download (mode is|boot modes) disabled/i.test(text),
    flashEmpty: /invalid header: 0xffffffff/i.test(text),
  };
}

const isDownload = (name: string) => /DOWNLOAD|UART\d?_BOOT/.test(name);

/**
 * Whether the bytes are text, which means that nearly all of them are printable. Noise or a wrong speed produces other bytes.
 */
export function isReadable(bytes: Uint8Array): boolean {
  if (bytes.length < 4) return false;
  let printable = 0;
  for (const byte of bytes) {
    if ((byte >= 0x20 && byte < 0x7f) || byte === 9 || byte === 10 || byte === 13 || byte === 0x1b)
      printable++;
  }
  return printable >= 0.9 * bytes.length;
}

/** The end of a text for a message: one line of at most 60 characters, without control characters. */
export function lastWords(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('latin1');
  const line = text.split(/[\r\n]+/).findLast((row) => row.trim() !== '') ?? '';
  return [...line.trim()]
    .filter((character) => character >= ' ' && character <= '~')
    .join('')
    .slice(0, 60);
}
