/**
 * Planar YUV 4:2:0 (all Y, then U, then V, each of the latter for four pixels) as RGB, three bytes a pixel. Limited range, the matrix of
 * ITU-R BT.601, in 16ths of 1/4096: what libcamera gives below 720 lines.
 * @param width even @param height even
 */
export function rgbOfYuv420(frame: Uint8Array, width: number, height: number): Buffer {
  const out = Buffer.allocUnsafe(width * height * 3);
  const clamped = new Uint8ClampedArray(out.buffer, out.byteOffset, out.length);
  const u = width * height;
  const v = u + u / 4;
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x < width; x += 2) {
      const chroma = (y / 2) * (width / 2) + x / 2;
      const blue = frame[u + chroma]! - 128;
      const red = frame[v + chroma]! - 128;
      const toRed = 104_597 * red + 32_768;
      const toGreen = -25_675 * blue - 53_279 * red + 32_768;
      const toBlue = 132_201 * blue + 32_768;
      for (let corner = 0; corner < 4; corner++) {
        const at = (y + (corner >> 1)) * width + x + (corner & 1);
        const luma = 76_309 * (frame[at]! - 16);
        clamped[at * 3] = (luma + toRed) >> 16;
        clamped[at * 3 + 1] = (luma + toGreen) >> 16;
        clamped[at * 3 + 2] = (luma + toBlue) >> 16;
      }
    }
  }
  return out;
}
