/**
 * A decoded value as JSON could say it, so that expressions and every way of printing treat it like one: bytes become base64 (as in
 * Protobuf's own JSON form), whole numbers beyond 2^53 their decimal text, maps objects, and dates ISO text.
 */
export function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return wholeNumber(value);
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  }
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  // A 64-bit number of protobufjs.
  if ('low' in value && 'high' in value && 'unsigned' in value) return wholeNumber(BigInt(String(value)));
  const pairs = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(pairs.map(([name, each]) => [nameOf(name), plain(each)]));
}

function wholeNumber(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

function nameOf(key: unknown): string {
  const name = plain(key);
  return typeof name === 'object' ? JSON.stringify(name) : String(name);
}
