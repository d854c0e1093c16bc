import { AiotError } from '../../core/index.js';
import { pagesOf, type ReadPage, readPage } from './read-page.js';
import { readValues } from './read-values.js';
import { type NvsContents, type NvsProblem, nvsPageBytes } from './types.js';

/**
 * The values of an NVS partition, as a generator or a device wrote it; both versions.
 * Source: ESP-IDF, "Non-Volatile Storage Library", Internals.
 * @param bytes not encrypted: see `decryptNvs`
 * @param salvage takes what can be read of a damaged one; the damage is in `problems`
 * @throws AIOT_NVS_MALFORMED with the offset and the reason
 */
export function readNvs(bytes: Uint8Array, { salvage = false } = {}): NvsContents {
  if (bytes.length === 0 || (bytes.length % nvsPageBytes !== 0 && !salvage)) {
    const whole = (Math.floor(bytes.length / nvsPageBytes) + 1) * nvsPageBytes;
    throw malformed({
      offset: bytes.length,
      reason: `expected whole pages (0x${whole.toString(16)} bytes), the file ends here`,
    });
  }
  const read = pagesOf(bytes).map((page, i) => readPage(page, i * nvsPageBytes));
  const byAge = [...read].sort((a, b) => (a.page.sequence ?? 0) - (b.page.sequence ?? 0));
  const values = readValues(byAge.flatMap(({ entries }) => entries));
  const cut = bytes.length % nvsPageBytes;
  const problems = [
    ...read.flatMap(({ problems }) => problems),
    ...pagesTogether(read),
    ...values.problems,
    ...(cut > 0 ? [{ offset: bytes.length, reason: 'the last page is cut short' }] : []),
  ].sort((a, b) => a.offset - b.offset);
  const [first] = problems;
  if (first && !salvage) throw malformed(first, unreadable(read));
  return {
    version: byAge.findLast(({ page }) => page.version !== null)?.page.version ?? null,
    pages: read.map(({ page }) => page),
    namespaces: values.namespaces,
    entries: values.entries,
    problems,
  };
}

/** What pages must have in common: one is written to, and it is the newest. */
function pagesTogether(read: readonly ReadPage[]): NvsProblem[] {
  const used = read.filter(({ page }) => page.sequence !== null);
  const newest = Math.max(...used.map(({ page }) => page.sequence!));
  const active = used.filter(({ page }) => page.state === 'active');
  const problems: NvsProblem[] = [];
  const seen = new Set<number>();
  for (const { page } of used) {
    if (seen.has(page.sequence!))
      problems.push({ offset: page.offset + 4, reason: `two pages have the sequence ${page.sequence}` });
    seen.add(page.sequence!);
    if (page.state === 'active' && page.sequence !== newest) {
      problems.push({ offset: page.offset, reason: 'an active page is not the newest one' });
    }
  }
  if (used.length > 0 && active.length === 0) {
    problems.push({ offset: used.at(-1)!.page.offset, reason: 'expected one page to be active, got none' });
  }
  return problems;
}

/** Headers that are right and not one entry that is: that is what an encrypted partition looks like. */
function unreadable(read: readonly ReadPage[]): boolean {
  const used = read.filter(({ page }) => page.version !== null && page.written > 0);
  return used.length > 0 && used.every(({ entries }) => entries.length === 0);
}

function malformed({ offset, reason }: NvsProblem, encrypted = false): AiotError {
  const next = encrypted ? { next: 'If it is encrypted, give the keys: --keys nvs_keys.bin' } : {};
  return new AiotError('AIOT_NVS_MALFORMED', `NVS, offset 0x${offset.toString(16)}: ${reason}`, next);
}
