import { beginWords } from './begin.js';
import { block, checksum, flashTimeMs, op, words } from './commands.js';
import { deflated, inflatedAfter } from './deflate.js';
import { Refusal } from './exchange.js';
import type { Session } from './session.js';

const romBlock = 0x400;
const stubBlock = 0x4000;
/** Erasing and writing together, at their slowest. */
const writeSecondsPerMB = 40;
const triesOfBlock = 4;

/** One way through begin, blocks and end. */
interface Transfer {
  begin: number;
  data: number;
  end: number;
  /** Bytes that the chip is told to expect. */
  size: number;
  blocks: Uint8Array[];
  blockBytes: number;
  /** How much of the data is written once a block is. */
  after: number[];
}

/**
 * Sends data to a sector of the flash, compressed if wanted and shorter. Throws at the first packet that cannot be
 * repaired: `written` says how far the chip had taken it then.
 */
export async function send(
  session: Session,
  offset: number,
  data: Uint8Array,
  options: { compress: boolean; written: (bytes: number) => void },
): Promise<void> {
  const { exchange, stub } = session;
  const transfer = (options.compress ? await compressed(data, stub) : null) ?? raw(data, stub);
  const { blocks, after, blockBytes, size } = transfer;
  // A ROM erases all of it before it answers; a stub sector by sector while it writes.
  await exchange.ask({
    op: transfer.begin,
    data: beginWords(session, { size, blocks: blocks.length, blockBytes, offset }),
    timeoutMs: flashTimeMs(stub ? 0 : data.length, writeSecondsPerMB),
    tries: 3,
  });
  let before = 0;
  for (const [i, bytes] of blocks.entries()) {
    const now = after[i] ?? data.length;
    // A stub answers before it writes, and so makes the next request wait.
    const timeoutMs = flashTimeMs(now - before + stubBlock, writeSecondsPerMB);
    await sendBlock(session, { op: transfer.data, bytes, sequence: i, timeoutMs });
    options.written(Math.min(now, data.length));
    before = i === 0 ? 0 : (after[i - 1] ?? 0);
  }
  // A ROM would leave the loader at the end; to a stub it is the barrier that tells of an error in the last block.
  if (stub) {
    const timeoutMs = flashTimeMs(data.length - before, writeSecondsPerMB);
    await exchange.ask({ op: transfer.end, data: words(1), timeoutMs });
  }
}

/** A stub that says the block arrived damaged takes it again; a ROM has counted it, and wants all from the beginning. */
async function sendBlock(
  { exchange, stub }: Session,
  block_: { op: number; bytes: Uint8Array; sequence: number; timeoutMs: number },
): Promise<void> {
  const { bytes, sequence, timeoutMs } = block_;
  for (let left = stub ? triesOfBlock : 1; ; left--) {
    try {
      await exchange.ask({
        op: block_.op,
        data: block(bytes, sequence),
        checksum: checksum(bytes),
        timeoutMs,
      });
      return;
    } catch (error) {
      const damaged = error instanceof Refusal && (error.status === 0xc0 || error.status === 0xc1);
      if (!damaged || left <= 1) throw error;
      await exchange.wire.drain(20, 100);
    }
  }
}

async function compressed(data: Uint8Array, stub: boolean): Promise<Transfer | null> {
  const packed = await deflated(data);
  if (packed.length >= data.length) return null;
  const blockBytes = stub ? stubBlock : romBlock;
  const blocks = pieces(packed, blockBytes);
  const size = stub ? data.length : Math.ceil(data.length / romBlock) * romBlock;
  const after = await inflatedAfter(blocks);
  return { begin: op.deflBegin, data: op.deflData, end: op.deflEnd, size, blocks, blockBytes, after };
}

/** The last block is filled up: the chip writes only as much as it was told to expect. */
function raw(data: Uint8Array, stub: boolean): Transfer {
  const blockBytes = stub ? stubBlock : romBlock;
  const blocks = pieces(data, blockBytes).map((piece) => {
    if (piece.length === blockBytes) return piece;
    const full = new Uint8Array(blockBytes).fill(0xff);
    full.set(piece);
    return full;
  });
  const after = blocks.map((_, i) => Math.min(data.length, (i + 1) * blockBytes));
  return {
    begin: op.flashBegin,
    data: op.flashData,
    end: op.flashEnd,
    size: data.length,
    blocks,
    blockBytes,
    after,
  };
}

function pieces(data: Uint8Array, bytes: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(data.length / bytes) }, (_, i) =>
    data.subarray(i * bytes, (i + 1) * bytes),
  );
}
