/** A number of 32 bits as four bytes, the highest first: how RFC 2217 writes a speed. */
export function toBigEndian(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** The number in the first four bytes; one server (sredird) sends more. */
export function fromBigEndian(bytes: Iterable<number>): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}
