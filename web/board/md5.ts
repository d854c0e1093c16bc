/** Shift amounts of the four rounds, and the constants floor(2^32 · |sin(i + 1)|). Source: RFC 1321. */
const shifts = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
];
const constants = Uint32Array.from({ length: 64 }, (_, i) => Math.floor(2 ** 32 * Math.abs(Math.sin(i + 1))));

/** MD5, 32 hex digits. Chips compute it over their flash, and Web Crypto does not have it. */
export function md5(data: Uint8Array): string {
  const blocks = Math.ceil((data.length + 9) / 64);
  const padded = new Uint8Array(blocks * 64);
  padded.set(data);
  padded[data.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(data.length) * 8n, true);
  const sum = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  for (let at = 0; at < padded.length; at += 64) addBlock(sum, view, at);
  const digest = new DataView(new ArrayBuffer(16));
  sum.forEach((word, i) => {
    digest.setUint32(4 * i, word, true);
  });
  return [...new Uint8Array(digest.buffer)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function addBlock(sum: Uint32Array, view: DataView, at: number): void {
  let [a = 0, b = 0, c = 0, d = 0] = sum;
  for (let i = 0; i < 64; i++) {
    const round = i >> 4;
    const [mixed, word] = [
      [(b & c) | (~b & d), i],
      [(d & b) | (~d & c), (5 * i + 1) % 16],
      [b ^ c ^ d, (3 * i + 5) % 16],
      [c ^ (b | ~d), (7 * i) % 16],
    ][round] as [number, number];
    const total = (a + mixed + (constants[i] as number) + view.getUint32(at + 4 * word, true)) >>> 0;
    const shift = shifts[round]?.[i % 4] as number;
    [a, d, c, b] = [d, c, b, (b + ((total << shift) | (total >>> (32 - shift)))) >>> 0];
  }
  [a, b, c, d].forEach((word, i) => {
    sum[i] = ((sum[i] as number) + word) >>> 0;
  });
}
