import { describe, expect, it } from 'vitest';
import { watchHealth } from '../../../src/lib/flash/write/update-watch.js';

const boot = 'ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n';

function verdictOn(text: string, pattern: RegExp | null = null) {
  const watch = watchHealth(pattern);
  // In pieces, as a port delivers text.
  for (let at = 0; at < text.length; at += 7) {
    const verdict = watch.feed(text.slice(at, at + 7));
    if (verdict) return verdict;
  }
  return watch.end(10_000);
}

describe('a watched board', () => {
  it.each<[string, string, RegExp | null, string]>([
    ['keeps running', `${boot}I (30) main: running\n`, null, 'it ran for 10 s without a fault'],
    [
      'prints the expected text',
      `${boot}I (900) net: connected to broker\n`,
      /connected to broker/,
      'its output contained: connected to broker',
    ],
    [
      'is reset once more externally',
      `${boot}I main\n${boot}I main\n`,
      null,
      'it ran for 10 s without a fault',
    ],
    [
      'prints the expected text without a line ending',
      `${boot}READY>`,
      /READY/,
      'its output contained: READY',
    ],
  ])('is healthy if it %s', (_, text, pattern, reason) => {
    expect(verdictOn(text, pattern)).toEqual({ healthy: true, reason });
  });

  it.each<[string, string, RegExp | null, string]>([
    [
      'crashes',
      `${boot}Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.\r\n`,
      null,
      "it crashed: Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.",
    ],
    [
      'restarts unexpectedly',
      `${boot}I main\nrst:0xc (SW_CPU_RESET),boot:0x13\r\n`,
      null,
      'it restarted unexpectedly: SW_CPU_RESET',
    ],
    [
      'aborts',
      `${boot}abort() was called at PC 0x400d1234 on core 0\n`,
      /ready/,
      'it aborted: abort() was called at PC 0x400d1234 on core 0',
    ],
    [
      'browns out',
      `${boot}Brownout detector was triggered\n`,
      null,
      'its supply voltage dropped: Brownout detector was triggered',
    ],
    [
      'finds no image',
      `${boot}invalid header: 0xffffffff\r\n`,
      null,
      'it found no bootable program: invalid header: 0xffffffff',
    ],
    [
      'is rejected by the bootloader',
      `${boot}E (123) boot: OTA app partition slot 1 is not bootable\n`,
      null,
      'the bootloader rejected it: E (123) boot: OTA app partition slot 1 is not bootable',
    ],
    ['is silent', '', null, 'it sent no output within 10 s'],
    [
      'never prints the expected text',
      `${boot}I main\n`,
      /connected/,
      'no output matched /connected/ within 10 s',
    ],
  ])('is unhealthy if it %s', (_, text, pattern, reason) => {
    expect(verdictOn(text, pattern)).toEqual({ healthy: false, reason });
  });

  const crash = "Guru Meditation Error: Core  0 panic'ed (LoadProhibited)\r\n";
  it.each([
    ['before a lot of output', `${boot}${crash}${'I (1) main: dump\r\n'.repeat(400)}`],
    ['before a lot of output without a line ending', `${boot}${crash}${'x'.repeat(7000)}`],
    ['after a lot of output', `${boot}${'I (1) main: running\r\n'.repeat(400)}${crash}`],
  ])('is unhealthy if it crashes %s, in a single chunk', (_, text) => {
    const reason = "it crashed: Guru Meditation Error: Core  0 panic'ed (LoadProhibited)";
    expect(watchHealth(null).feed(text)).toEqual({ healthy: false, reason });
  });

  it('is healthy if the expected text begins a large chunk, with or without line endings', () => {
    for (const more of ['I main\n'.repeat(1000), '.'.repeat(7000)]) {
      const verdict = watchHealth(/connected/).feed(`connected\n${more}`);
      expect(verdict).toEqual({ healthy: true, reason: 'its output contained: connected' });
    }
  });

  it('counts as started once, however long the next line is', () => {
    const watch = watchHealth(null);
    const banner = 'rst:0xc (SW_CPU_RESET),boot:0x13 ';
    for (const text of [banner, '.'.repeat(5000), '.'.repeat(5000)]) expect(watch.feed(text)).toBeNull();
    expect(watch.end(1000).healthy).toBe(true);
  });
});
