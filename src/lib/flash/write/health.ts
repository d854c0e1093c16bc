/** What a watch of the boot text has come to. */
export interface Verdict {
  healthy: boolean;
  /** What showed it, one line. */
  reason: string;
}

export interface HealthWatch {
  /** Text as it comes from the board, in any pieces. A verdict once there is one. */
  feed(text: string): Verdict | null;
  /** When the time is over. */
  end(ms: number): Verdict;
}

/** Sources: ESP-IDF's panic handler and second-stage bootloader, and the ROMs' boot text. */
const failures: [RegExp, string][] = [
  [/Guru Meditation Error[^\r\n]*/, 'it crashed'],
  [/abort\(\) was called[^\r\n]*/, 'it aborted'],
  [/assert failed:[^\r\n]*/, 'an assertion failed'],
  [/Brownout detector was triggered/, 'its supply dips'],
  [/(?:image|partition)[^\r\n]*(?:corrupted|hash failed|checksum failed)[^\r\n]*/i, 'its image is damaged'],
  [/No bootable app partitions[^\r\n]*/, 'it finds nothing to start'],
  [/invalid header: 0x[0-9a-f]+/, 'it finds nothing to start'],
  [/(?:csum err|flash read err)[^\r\n]*/, 'it cannot read its flash'],
  [/secure boot verification failed[^\r\n]*/i, 'its signature is refused'],
  [/[^\r\n]*(?:is not bootable|Bootloader for wrong chip)[^\r\n]*/i, 'the bootloader refuses it'],
];

/** A ROM's first words at each start, with the reason: `rst:0x1 (POWERON_RESET)`. */
const bootBanner = /rst:0x[0-9a-f]+ \((\w+)\)/g;
/** Reasons of a reset from outside: the EN pin (which a ROM tells as power), or the chip's own USB. */
const byHand = /^(POWERON|USB_UART_CHIP|EXT)/;
/** An unfinished line that long is no log any more. */
const longestTail = 4096;

/**
 * Judges a board by what it says after a restart. With a pattern it is healthy when that comes; without one, when it has
 * said something and neither failed nor restarted in the time.
 */
export function watchHealth(pattern: RegExp | null): HealthWatch {
  let tail = '';
  let heard = false;
  let boots = 0;
  return {
    feed(text) {
      heard ||= text !== '';
      const all = tail + text;
      // Only whole lines: half a banner, or half a pattern, comes again with its other half. Of a rest that grows too
      // long the beginning counts as a line.
      const end = Math.max(all.lastIndexOf('\n') + 1, all.length - longestTail);
      const lines = all.slice(0, end);
      tail = all.slice(end);
      for (const [failure, what] of failures) {
        const [found] = failure.exec(lines) ?? [];
        if (found !== undefined) return { healthy: false, reason: `${what}: ${found.trim()}` };
      }
      for (const [, reason] of lines.matchAll(bootBanner)) {
        boots++;
        if (boots > 1 && !byHand.test(reason ?? ''))
          return { healthy: false, reason: `it restarted by itself: ${reason}` };
      }
      const [wanted] = pattern?.exec(all) ?? [];
      return wanted === undefined ? null : { healthy: true, reason: `it said: ${wanted.trim()}` };
    },
    end(ms) {
      const time = `${ms / 1000} s`;
      if (!heard) return { healthy: false, reason: `nothing was heard of it in ${time}` };
      if (pattern) return { healthy: false, reason: `${pattern} did not come in ${time}` };
      return { healthy: true, reason: `it ran ${time} without a fault` };
    },
  };
}
