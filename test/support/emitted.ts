/** The bytes of the array in an emitted C++ source. */
export function bytesIn(source: string): Uint8Array {
  const body = source.slice(source.indexOf('kModel[kModelSize] = {'), source.indexOf('};'));
  return Uint8Array.from([...body.matchAll(/0x([0-9a-f]{2})/g)].map(([, hex]) => Number.parseInt(hex!, 16)));
}
