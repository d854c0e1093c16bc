import type { ChipIdentity, ResetCause } from './identity.js';

/** How a chip comes up: into the loader on all ports, on the UART alone, or into what is in flash. */
export type BootMode = 'download' | 'uart' | 'run';

/** What the ROM says after a reset, at 115200. */
export function bootText(identity: ChipIdentity, cause: ResetCause, mode: BootMode, strap?: number): string {
  const { strap: usual, text, waits } = identity.bootNames[mode];
  const line = `rst:${identity.resetNames[cause]},boot:0x${(strap ?? usual).toString(16)} (${text})\r\n`;
  return `${identity.banner}${line}${waits ?? ''}`;
}

/** What a ROM says that crashed: enough of the register dump to be known by. */
export function panicText(identity: ChipIdentity): string {
  const registers =
    identity.name === 'esp32c3'
      ? 'PC      : 0x4004c092  RA      : 0x40001e2c  SP      : 0x3fcde610  GP      : 0x00000000\r\nMCAUSE  : 0x00000005  MTVAL   : 0x5ffe0000'
      : 'PC      : 0x40009f4c  PS      : 0x00060130  A0      : 0x800092f5  A1      : 0x3ffe3b00\r\nEXCCAUSE: 0x0000001d  EXCVADDR: 0x00000000';
  const cause = identity.name === 'esp32c3' ? 'Load access fault' : 'StoreProhibited';
  return `Guru Meditation Error: Core  0 panic'ed (${cause})\r\nCore 0 register dump:\r\n${registers}\r\n\r\n`;
}
