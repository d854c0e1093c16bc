import { createHash } from 'node:crypto';
import { readBytes } from '../../core/index.js';
import { symbolize } from '../../formats/index.js';
import { ProgramCode } from './code.js';
import { type CrashDecoder, frame } from './decode.js';

/** @throws AIOT_FILE_NOT_FOUND, AIOT_IMAGE_MALFORMED */
export async function openDecoder(path: string): Promise<CrashDecoder> {
  const bytes = await readBytes(path);
  const code = new ProgramCode(bytes, path);
  const hash = createHash('sha256').update(bytes).digest('hex');
  return {
    frames: (addresses) => {
      const seen = new Set<string>();
      const inCode = addresses.filter(({ address, from }) => {
        const key = `${from}/${address}`;
        const fresh = !seen.has(key);
        seen.add(key);
        return fresh && (from === 'stack' ? code.followsCall(address) : code.has(address));
      });
      // A way back points behind the call: the call itself is what people look for.
      const places = symbolize(
        code.elf,
        inCode.map(({ address, from }) => (isWayBack(from) ? address - 1 : address)),
      );
      return inCode.map((each, i) => ({ ...frame(each), ...place(places[i]) }));
    },
    isFrom: (elfHash) => hash.startsWith(elfHash),
  };
}

const isWayBack = (from: string) => from === 'stack' || from === 'RA' || from === 'A0';

function place(found: { function: string | null; file: string | null; line: number | null } | undefined) {
  return found
    ? { function: found.function, file: found.file, line: found.line }
    : { function: null, file: null, line: null };
}
