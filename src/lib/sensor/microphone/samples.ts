/** Samples of −1 to 1 (full scale) from little-endian integers, as many as are whole. */
export function samplesOf(bytes: Uint8Array, bits: '16' | '32'): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = Number(bits) / 8;
  const samples = new Float64Array(Math.floor(bytes.length / size));
  for (let i = 0; i < samples.length; i++) {
    samples[i] = bits === '16' ? view.getInt16(2 * i, true) / 2 ** 15 : view.getInt32(4 * i, true) / 2 ** 31;
  }
  return samples;
}

/** Cuts samples into whole windows across the pieces that they come in. */
export function createWindows(windowSamples: number): (samples: Float64Array) => Float64Array[] {
  let held = new Float64Array(0);
  return (samples) => {
    const all = new Float64Array(held.length + samples.length);
    all.set(held);
    all.set(samples, held.length);
    const count = Math.floor(all.length / windowSamples);
    held = all.slice(count * windowSamples);
    return Array.from({ length: count }, (_, i) => all.subarray(i * windowSamples, (i + 1) * windowSamples));
  };
}

/** A level that silence never reaches: that of the smallest 24-bit sample is about 40 dB lower. */
const lowestDb = 0;

/**
 * Sound level of each channel of a window, dB SPL, without weighting: 20·log₁₀(rms·√2) − sensitivity + 94, for a full-scale sine has
 * an rms of 1/√2 (INMP441 data sheet: sensitivity in dBFS at 94 dB SPL). The mean, which microphones have of themselves, is left out.
 * @param window frame after frame, a value a channel, −1 to 1
 */
export function soundLevels(window: Float64Array, channels: number, sensitivityDbfs: number): number[] {
  const frames = window.length / channels;
  return Array.from({ length: channels }, (_, channel) => {
    let [sum, squares] = [0, 0];
    for (let at = channel; at < window.length; at += channels) sum += window[at]!;
    const mean = sum / frames;
    for (let at = channel; at < window.length; at += channels) squares += (window[at]! - mean) ** 2;
    const rms = Math.sqrt(squares / frames);
    return Math.max(lowestDb, 20 * Math.log10(rms * Math.SQRT2) - sensitivityDbfs + 94);
  });
}
