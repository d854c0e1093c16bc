import { describe, expect, it } from 'vitest';
import { isReadable, lastWords, readBootText } from '../../../src/lib/flash/diagnosis.js';

const bytes = (text: string) => Buffer.from(text, 'latin1');

/** Texts printed by mask ROMs (recorded) and ESP-IDF. */
const texts = {
  esp32Uart: 'ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0xf (UART_BOOT(UART0))\r\n',
  esp32Download:
    'rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))\r\nwaiting for download\r\n',
  esp32Flash: 'rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\ninvalid header: 0xffffffff\r\n',
  c3Joint:
    'ESP-ROM:esp32c3-api1-20210207\r\nBuild:Feb  7 2021\r\nrst:0x1 (POWERON),boot:0x4 (DOWNLOAD(USB/UART0/1))\r\nwaiting for download\r\n',
  c3Uart: 'rst:0x1 (POWERON),boot:0x2 (UART0_BOOT)\r\nwait uart0 download\r\n',
  c3Flash: 'rst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)\r\nSPIWP:0xee\r\n',
};

describe('the boot text parser', () => {
  it.each([
    ['an ESP32 strapped for the UART', texts.esp32Uart, 0xf, true],
    ['an ESP32 that waits for a download', texts.esp32Download, 3, true],
    ['an ESP32 that starts its program', texts.esp32Flash, 0x13, false],
    ['a C3 that waits for a download', texts.c3Joint, 4, true],
    ['a C3 strapped for the UART', texts.c3Uart, 2, true],
    ['a C3 that starts its program', texts.c3Flash, 8, false],
    ['a chip with a truncated mode name', 'boot:0x13 (SPI_FA', 0x13, false],
    ['the last of two boots', `${texts.esp32Flash}${texts.esp32Download}`, 3, true],
    ['the last of two boots, in reverse order', `${texts.esp32Download}${texts.esp32Flash}`, 0x13, false],
  ])('reads the boot mode of %s', (_, text, value, download) => {
    expect(readBootText(bytes(text)).mode).toMatchObject({ value, download });
  });

  it.each([
    ['a brown-out of an ESP32', 'rst:0xf (RTCWDT_BROWN_OUT_RESET),boot:0x13 (X)', { brownOut: true }],
    ['a brown-out of a C3', 'rst:0xf (BROWNOUT_RST),boot:0xc (X)', { brownOut: true, reset: 'BROWNOUT_RST' }],
    [
      'a brown-out reported by a program',
      'Brownout detector was triggered\r\n',
      { brownOut: true, mode: null },
    ],
    ['no brown-out in similar text', 'brown coat ok', { brownOut: false }],
    [
      'a crash',
      "Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception\r\nA0: 1",
      { crash: "Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception" },
    ],
    ['a disabled download mode', 'Download mode is disabled\r\n', { downloadDisabled: true }],
    ['disabled download boot modes', 'Download boot modes disabled\r\n', { downloadDisabled: true }],
    ['empty flash', texts.esp32Flash, { flashEmpty: true, starts: 1 }],
    [
      'nothing in empty text',
      '',
      { mode: null, reset: null, starts: 0, brownOut: false, crash: null, flashEmpty: false },
    ],
  ])('detects %s', (_, text, told) => {
    expect(readBootText(bytes(text))).toMatchObject(told);
  });

  it.each([
    ['text', bytes('I (312) app: hello\r\n'), true],
    ['colored text', bytes('\u001b[0;32mI (312) wifi: ok\u001b[0m\r\n'), true],
    ['noise', Uint8Array.of(0, 0x80, 0xfc, 0xfe, 0xe0, 0x41), false],
    ['very short text', bytes('ab'), false],
  ])('decides whether %s is readable', (_, data, readable) => {
    expect(isReadable(data)).toBe(readable);
  });

  it('quotes only the last line, without control characters', () => {
    expect(lastWords(bytes('one\r\n\u001b[31mtwo\u0007 words\u001b[0m\r\n\r\n'))).toBe('[31mtwo words[0m');
    expect(lastWords(bytes('x'.repeat(99)))).toHaveLength(60);
  });
});
