/** What a chip says on its serial line besides answers: the ROM's boot text, a crash, a program's output. */
export interface BootText {
  /** The strapping pins as the ROM read them at its last start: `boot:0x13 (SPI_FAST_FLASH_BOOT)`. */
  mode: { value: number; name: string; download: boolean } | null;
  /** Why the chip was reset last: `RTCWDT_BROWN_OUT_RESET`. */
  reset: string | null;
  /** How many starts the text shows. */
  starts: number;
  brownOut: boolean;
  /** Its first line, such as `Guru Meditation Error: Core  0 panic'ed (LoadProhibited)`. */
  crash: string | null;
  /** The ROM says that fuses switch its download mode off. */
  downloadDisabled: boolean;
  /** No program at the bootloader's place. */
  flashEmpty: boolean;
}

/** Reads boot text. Source: the texts of the mask ROMs (ESP32, C3, S3) and of ESP-IDF's panic handler. */
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

/** Whether the bytes read as text: nearly all printable. Noise and a wrong speed do not. */
export function isReadable(bytes: Uint8Array): boolean {
  if (bytes.length < 4) return false;
  let printable = 0;
  for (const byte of bytes) {
    if ((byte >= 0x20 && byte < 0x7f) || byte === 9 || byte === 10 || byte === 13 || byte === 0x1b)
      printable++;
  }
  return printable >= 0.9 * bytes.length;
}

/** The last words of a text, for a message: one line, control characters left out, at most 60 characters. */
export function lastWords(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('latin1');
  const line = text.split(/[\r\n]+/).findLast((row) => row.trim() !== '') ?? '';
  return [...line.trim()]
    .filter((character) => character >= ' ' && character <= '~')
    .join('')
    .slice(0, 60);
}
