import type { ChipIdentity, ResetCause } from './identity.js';

/** How a chip comes up: into the loader on all ports, on the UART alone, or into what is in flash. */
export type BootMode = 'download' | 'uart' | 'run';

/** What the ROM says after a reset, at 115200. */
export function bootText(identity: ChipIdentity, cause: ResetCause, mode: BootMode, strap: number): string {
  const { text, waits } = identity.bootNames[mode];
  const line = `rst:${identity.resetNames[cause]},boot:0x${strap.toString(16)} (${text})\r\n`;
  return `${identity.banner}${line}${waits ?? ''}`;
}

/** What a ROM says that crashed: the head of its register dump, by which it is known. */
export function panicText(identity: ChipIdentity, cause = 'Load access fault'): string {
  const registers =
    identity.name === 'esp32c3'
      ? 'PC      : 0x4004c092  RA      : 0x40001e2c  SP      : 0x3fcde610  GP      : 0x00000000'
      : 'PC      : 0x40009f4c  PS      : 0x00060130  A0      : 0x800092f5  A1      : 0x3ffe3b00';
  return `Guru Meditation Error: Core 0 panic'ed (${cause})\r\nCore 0 register dump:\r\n${registers}\r\n\r\n`;
}
