import { describe, expect, it } from 'vitest';
import { watchHealth } from '../../../src/lib/flash/write/update-watch.js';

const boot = 'ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n';

function verdictOn(text: string, pattern: RegExp | null = null) {
  const watch = watchHealth(pattern);
  // As a port gives it: in pieces.
  for (let at = 0; at < text.length; at += 7) {
    const verdict = watch.feed(text.slice(at, at + 7));
    if (verdict) return verdict;
  }
  return watch.end(10_000);
}

describe('the health of a board', () => {
  it.each<[string, string, RegExp | null, string]>([
    ['runs on', `${boot}I (30) main: running\n`, null, 'it ran 10 s without a fault'],
    [
      'says what is wanted',
      `${boot}I (900) net: connected to broker\n`,
      /connected to broker/,
      'it said: connected to broker',
    ],
    [
      'is reset once more from outside',
      `${boot}I main\n${boot}I main\n`,
      null,
      'it ran 10 s without a fault',
    ],
    ['says it without a line’s end', `${boot}READY>`, /READY/, 'it said: READY'],
  ])('is well when it %s', (_, text, pattern, reason) => {
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
      'restarts by itself',
      `${boot}I main\nrst:0xc (SW_CPU_RESET),boot:0x13\r\n`,
      null,
      'it restarted by itself: SW_CPU_RESET',
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
      'its supply dips: Brownout detector was triggered',
    ],
    [
      'finds no image',
      `${boot}invalid header: 0xffffffff\r\n`,
      null,
      'it finds nothing to start: invalid header: 0xffffffff',
    ],
    [
      'is refused by the bootloader',
      `${boot}E (123) boot: OTA app partition slot 1 is not bootable\n`,
      null,
      'the bootloader refuses it: E (123) boot: OTA app partition slot 1 is not bootable',
    ],
    ['is silent', '', null, 'nothing was heard of it in 10 s'],
    ['never says what is wanted', `${boot}I main\n`, /connected/, '/connected/ did not come in 10 s'],
  ])('is not well when it %s', (_, text, pattern, reason) => {
    expect(verdictOn(text, pattern)).toEqual({ healthy: false, reason });
  });

  const crash = "Guru Meditation Error: Core  0 panic'ed (LoadProhibited)\r\n";
  it.each([
    ['then says much', `${boot}${crash}${'I (1) main: dump\r\n'.repeat(400)}`],
    ['then says much without a line’s end', `${boot}${crash}${'x'.repeat(7000)}`],
    ['after much was said', `${boot}${'I (1) main: running\r\n'.repeat(400)}${crash}`],
  ])('is not well when it crashes and %s, all in one piece', (_, text) => {
    const reason = "it crashed: Guru Meditation Error: Core  0 panic'ed (LoadProhibited)";
    expect(watchHealth(null).feed(text)).toEqual({ healthy: false, reason });
  });

  it('finds what is wanted at the beginning of a large piece, finished or not', () => {
    for (const more of ['I main\n'.repeat(1000), '.'.repeat(7000)]) {
      const verdict = watchHealth(/connected/).feed(`connected\n${more}`);
      expect(verdict).toEqual({ healthy: true, reason: 'it said: connected' });
    }
  });

  it('counts one start once, however long what follows has no end', () => {
    const watch = watchHealth(null);
    const banner = 'rst:0xc (SW_CPU_RESET),boot:0x13 ';
    for (const text of [banner, '.'.repeat(5000), '.'.repeat(5000)]) expect(watch.feed(text)).toBeNull();
    expect(watch.end(1000).healthy).toBe(true);
  });
});
