import { createHash } from 'node:crypto';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { flashTimeMs, op, quick, sectorBytes, words } from './exchange.js';
import { isTrouble, prepareFor, report, resync, type Session } from './session.js';
import { NoAnswer } from './wire.js';

const slowBytes = 64;
const chunkBytes = 0x4_0000;
const triesWithoutProgress = 8;

/** Thrown if the data that was read does not match the chip's MD5. */
class Changed extends Error {}

/** Reads flash in parts and compares each part with the chip's MD5. A part that was damaged on the line is reread in smaller parts. */
export async function readFlash(
  session: Session,
  offset: number,
  length: number,
  name: string | null = null,
) {
  await prepareFor(session, length);
  const bytes = new Uint8Array(length);
  const readPart = session.stub ? readByStub : readByRom;
  let part = chunkBytes;
  for (let done = 0, left = triesWithoutProgress; done < length; ) {
    const into = bytes.subarray(done, done + part);
    try {
      await readPart(session, offset + done, into, (now) => {
        report(session, { stage: 'read', region: name, done: done + now, total: length });
      });
      done += into.length;
      left = triesWithoutProgress;
    } catch (error) {
      if (error instanceof Changed && left === 1) throw changed(session, offset + done, into.length);
      if (--left === 0 || !(error instanceof Changed || (isTrouble(error) && (await resync(session)))))
        throw error;
      part = Math.max(sectorBytes, part / 4);
    }
  }
  return bytes;
}

function changed({ wire: { line } }: Session, offset: number, length: number): AiotError {
  const what = `${length} bytes from ${hex(offset)}`;
  return new AiotError(
    'AIOT_FLASH_READ',
    `${what} from ${line.address} were repeatedly corrupted in transit`,
    {
      endpoint: line.address,
      retryable: true,
    },
  );
}

type Progress = (done: number) => void;

/**
 * Reads with a stub, which sends blocks of 4096 bytes. After each block, the stub waits for the number of received bytes. At the
 * end, it sends an MD5 of all blocks. Meanwhile, no other request is possible, so a lost block ends the stream.
 */
async function readByStub({ exchange, wire }: Session, offset: number, into: Uint8Array, progress: Progress) {
  await exchange.ask({ op: op.readFlash, data: words(offset, into.length, sectorBytes, 1) });
  const waitMs = 3000 + wire.timeOf(2 * sectorBytes);
  const hash = createHash('md5');
  let done = 0;
  while (done < into.length) {
    const packet = await wire.read(waitMs);
    const wanted = Math.min(sectorBytes, into.length - done);
    // A block of another length has lost bytes, so the position of the following blocks is unknown.
    if (packet.length !== wanted) throw new NoAnswer(waitMs, packet.length);
    into.set(packet, done);
    hash.update(packet);
    done += packet.length;
    await wire.write(words(done));
    progress(done);
  }
  const sent = await wire.read(waitMs);
  if (!hash.digest().equals(sent)) throw new Changed();
}

/** Reads through the ROM loader, which returns 64 bytes per request regardless of the number requested. */
async function readByRom(session: Session, offset: number, into: Uint8Array, progress: Progress) {
  for (let done = 0; done < into.length; done += slowBytes) {
    const wanted = Math.min(slowBytes, into.length - done);
    const data = words(offset + done, wanted);
    const answer = await session.exchange.ask({
      op: op.readFlashSlow,
      data,
      expect: [slowBytes, wanted],
      ...quick,
    });
    into.set(answer.data.subarray(0, wanted), done);
    progress(done + wanted);
  }
  // The MD5 is compared only for whole words, because ROMs may hash partial words in different ways.
  if (offset % 4 !== 0 || into.length % 4 !== 0) return;
  const here = createHash('md5').update(into).digest('hex');
  if ((await flashMd5(session, offset, into.length)) !== here) throw new Changed();
}

/**
 * Whether the flash contains these bytes at `offset`. Compares the chip's MD5 of whole words, which every loader computes, and reads up
 * to three bytes at either end.
 */
export async function matches(session: Session, offset: number, data: Uint8Array): Promise<boolean> {
  const from = Math.min(data.length, (4 - (offset % 4)) % 4);
  const to = from + Math.floor((data.length - from) / 4) * 4;
  const middle = data.subarray(from, to);
  if (middle.length > 0) {
    const there = await flashMd5(session, offset + from, middle.length);
    if (there !== createHash('md5').update(middle).digest('hex')) return false;
  }
  return (
    (await has(session, offset, data.subarray(0, from))) &&
    (await has(session, offset + to, data.subarray(to)))
  );
}

async function has(session: Session, offset: number, edge: Uint8Array): Promise<boolean> {
  if (edge.length === 0) return true;
  // Reads whole words, because some loaders cannot read less.
  const start = offset - (offset % 4);
  const there = await readFlash(session, start, 4);
  return Buffer.from(edge).equals(there.subarray(offset - start, offset - start + edge.length));
}

const md5SecondsPerMB = 8;

/** MD5 of a flash range, computed by the chip. A ROM returns it as text, a stub as bytes. */
export async function flashMd5({ exchange }: Session, offset: number, length: number): Promise<string> {
  const { data } = await exchange.ask({
    op: op.md5,
    data: words(offset, length, 0, 0),
    expect: [16, 32],
    timeoutMs: flashTimeMs(length, md5SecondsPerMB),
    tries: 3,
  });
  const text = Buffer.from(data).toString(data.length === 32 ? 'latin1' : 'hex');
  return text.toLowerCase();
}
