/** One message in a chunk: where it lies in its segment, and what tells it from others. */
export interface Spot {
  offset: number;
  length: number;
  /** null: it has none. */
  seq: number | null;
  /** ms since 1970: the time it tells, or when it came. */
  t: number;
  /** Rows that an export has of it: what is lost with the line. */
  rows: number;
}

/**
 * Messages of one recording in one segment, in the order in which they came, as bytes: offset (from the end of the one
 * before), length, rows, number and time (from those before), each as a variable-length integer; eight bytes a message, mostly.
 */
export function encodeSpots(spots: readonly Spot[]): Buffer {
  const out: number[] = [];
  let end = 0;
  let seq = 0;
  let t = 0;
  for (const spot of spots) {
    putUnsigned(out, spot.offset - end);
    putUnsigned(out, spot.length);
    putUnsigned(out, spot.rows);
    putNumber(out, spot.seq, seq);
    putNumber(out, spot.t, t);
    end = spot.offset + spot.length;
    seq = spot.seq ?? seq;
    t = spot.t;
  }
  return Buffer.from(out);
}

/** @param bytes libsql's `all` gives an ArrayBuffer, its `get` a Buffer */
export function decodeSpots(bytes: Uint8Array | ArrayBuffer): Spot[] {
  const reader = new Reader(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes));
  const spots: Spot[] = [];
  let end = 0;
  let seq = 0;
  let t = 0;
  while (reader.more) {
    const offset = end + reader.unsigned();
    const length = reader.unsigned();
    const rows = reader.unsigned();
    const spot = { offset, length, rows, seq: reader.number(seq), t: reader.number(t) ?? 0 };
    spots.push(spot);
    end = offset + length;
    seq = spot.seq ?? seq;
    t = spot.t;
  }
  return spots;
}

/** Differences up to this are written as integers: zigzag and tag still fit into 2^53. */
const farthest = 2 ** 50;

function putUnsigned(out: number[], value: number): void {
  let rest = value;
  while (rest >= 128) {
    out.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  out.push(rest);
}

/** 0 = none; 1 = eight bytes of a double follow; else 2 + the difference, zigzag. */
function putNumber(out: number[], value: number | null, before: number): void {
  if (value === null) {
    putUnsigned(out, 0);
    return;
  }
  const difference = value - before;
  if (Number.isInteger(value) && Number.isInteger(difference) && Math.abs(difference) < farthest) {
    putUnsigned(out, 2 + (difference >= 0 ? 2 * difference : -2 * difference - 1));
    return;
  }
  putUnsigned(out, 1);
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  out.push(...bytes);
}

class Reader {
  private at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  get more(): boolean {
    return this.at < this.bytes.length;
  }

  unsigned(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  number(before: number): number | null {
    const told = this.unsigned();
    if (told === 0) return null;
    if (told > 1) return before + ((told - 2) % 2 === 0 ? (told - 2) / 2 : -(told - 1) / 2);
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.at, 8);
    this.at += 8;
    return view.getFloat64(0, true);
  }
}
