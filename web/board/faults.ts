import { ImprovFailure } from '../../src/lib/device/onboard/improv-session.js';

/** A failure that the page explains: its cause and the next step. */
export class BoardFault extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly next: string,
  ) {
    super(message);
  }
}

/** The reason why this page cannot open a serial port at all; null if it can. */
export function unsupported(): BoardFault | null {
  if ('serial' in navigator) return null;
  if (!window.isSecureContext)
    return new BoardFault(
      'insecure-page',
      'Browsers allow access to boards only on secure pages, and this page is not one.',
      'Open this page over https, or on this computer as http://localhost.',
    );
  return new BoardFault(
    'no-web-serial',
    'This browser cannot access serial ports: it does not support Web Serial.',
    'Open this page in Chrome, Edge or Opera on a computer.',
  );
}

export const unplugged = () =>
  new BoardFault(
    'unplugged',
    'The board was unplugged, or it lost power.',
    'Plug it in again, and connect it.',
  );

export const unpluggedWhileWriting = () =>
  new BoardFault(
    'unplugged-while-writing',
    'The board was unplugged while its flash was written, so its firmware is incomplete.',
    'Plug it in again, connect it, and repeat the installation.',
  );

/** The fault when the browser's list of ports was closed without a choice. */
export const noPort = () =>
  new BoardFault(
    'no-port',
    'No port was chosen.',
    'Connect the board with a USB cable that carries data, then choose its port. If it is not in the list, install the driver of its USB chip (CP210x, CH34x or FTDI).',
  );

/** Explains why a port could not be opened. Source of the names: the Web Serial specification, `open()`. */
export function notOpened(error: unknown): BoardFault {
  if (error instanceof DOMException && error.name === 'InvalidStateError')
    return new BoardFault(
      'port-open',
      'This page has already opened the port.',
      'Reload the page, and connect the board again.',
    );
  return new BoardFault(
    'port-busy',
    'The port cannot be opened: another program uses it, or you are not allowed to use it.',
    'Close other serial monitors and browser tabs that use the board. On Linux, your user must be in the group dialout or uucp. Then connect the board again.',
  );
}

export const noAnswer = () =>
  new BoardFault(
    'no-download-mode',
    'The board does not answer as a chip in download mode.',
    'Hold BOOT (or IO0), press and release RESET (or EN), release BOOT, and try again. If the board has no such buttons, unplug it and plug it in again.',
  );

export function wrongChip(chip: string, supported: readonly string[]): BoardFault {
  const last = supported.at(-1);
  const list = supported.length > 1 ? `${supported.slice(0, -1).join(', ')} and ${last}` : last;
  return new BoardFault(
    'wrong-chip',
    `The board has an ${chip}, but this firmware is for ${list}. Nothing was written.`,
    'Connect a board with that chip, or choose other firmware.',
  );
}

export const locked = () =>
  new BoardFault(
    'locked',
    'The board is locked by secure boot or flash encryption. Nothing was written.',
    'Update it with signed firmware, over the air or with aiot flash.',
  );

export const tooLarge = (bytes: number) =>
  new BoardFault(
    'flash-too-small',
    `The firmware does not fit into the ${bytes / 2 ** 20} MiB of flash on this board. Nothing was written.`,
    'Use a board with more flash.',
  );

export const notRead = (error: unknown) =>
  new BoardFault(
    'read-failed',
    `The flash cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    'Use a shorter cable, or connect the board without a hub. Then install again.',
  );

export const notWritten = (error: unknown) =>
  new BoardFault(
    'write-failed',
    `Writing failed: ${error instanceof Error ? error.message : String(error)}`,
    'Use a shorter cable, or connect the board without a hub. Then repeat the installation.',
  );

/** The fault of a board that does not answer Improv on the USB port inside its chip. Some firmware uses only UART 0. */
export const silentChipUsb = () =>
  new BoardFault(
    'improv-chip-usb',
    "The board does not answer on the chip's own USB port.",
    "Its firmware may accept Wi-Fi settings only on UART 0. Use the board's UART connector, or write the network with aiot device provision --wifi-ssid.",
  );

/** Explains any error of a step. */
export function faultOf(error: unknown): BoardFault {
  if (error instanceof BoardFault) return error;
  if (error instanceof ImprovFailure) return improvFault(error);
  return new BoardFault(
    'failed',
    `Something failed: ${error instanceof Error ? error.message : String(error)}`,
    'Reload the page, and try again.',
  );
}

function improvFault({ trouble }: ImprovFailure): BoardFault {
  switch (trouble.reason) {
    case 'silent':
      return new BoardFault(
        'improv-silent',
        trouble.heard === 0
          ? 'The board sends nothing.'
          : 'The board sends its log, but does not answer Improv.',
        'Restart the board, and try again. If its firmware does not support Improv, configure Wi-Fi as its manual describes.',
      );
    case 'lost':
      return unplugged();
    case 'unsupported':
      return new BoardFault(
        'improv-unsupported',
        trouble.scan ? 'The board cannot list networks.' : 'The board does not support this request.',
        trouble.scan ? 'Enter the name of the network.' : 'Install newer firmware.',
      );
    case 'rejected':
      return new BoardFault(
        'improv-rejected',
        'The board rejected the name or the password as invalid.',
        'Check both, and try again.',
      );
    case 'failed':
      return new BoardFault(
        'improv-failed',
        `The board reported error ${trouble.code} (${trouble.error}).`,
        'Read the log below, restart the board, and try again.',
      );
    case 'refused':
      return new BoardFault(
        'wifi-refused',
        `The board cannot join ${trouble.ssid}.${returned(trouble.kept)}`,
        'Check the password. Case matters.',
      );
    case 'not-found':
      return new BoardFault(
        'wifi-not-found',
        `The board does not see the network ${trouble.ssid}.${returned(trouble.kept)}`,
        'Check the name, and move the board closer to the access point. Most boards use only 2.4 GHz networks.',
      );
    case 'timeout':
      return new BoardFault(
        'wifi-timeout',
        `The board did not join ${trouble.ssid} within ${trouble.ms / 1000} s.`,
        'Move the board closer to the access point, and try again.',
      );
  }
}

const returned = (kept: boolean) => (kept ? ' It has returned to its previous network.' : '');
