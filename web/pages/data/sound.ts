/** Lowest rate of recordings that are played as sound, Hz, and the most samples that the page reads for it. */
const [lowestHz, mostSamples] = [4000, 2_000_000];
/** Part of a recording's length that its sound may differ by: beyond it, the sound would not match the play head. */
const tolerance = 0.01;
/** Time that the browser can spend on parsing before other work gets its turn, ms. */
const turnMs = 20;

/** Why a recording has no sound; null = it has sound; undefined = it is not sound at all. */
export function silenceOf(
  { rateHz, samples, missing }: { rateHz: number; samples: number; missing: number },
  lengthS: number,
): string | null | undefined {
  if (!(rateHz >= lowestHz)) return undefined;
  if (samples > mostSamples) return 'no sound, because the recording is too long';
  if (fills(samples, rateHz, lengthS)) return null;
  return missing > 0
    ? 'no sound, because messages are missing'
    : 'no sound, because the samples do not match the duration';
}

/** Whether samples at a rate last as long as their recording. Its last sample is at the end. */
export function fills(samples: number, rateHz: number, lengthS: number): boolean {
  return Math.abs((samples - 1) / rateHz - lengthS) <= tolerance * lengthS;
}

/** The first field that has values in a recording. */
export function firstField(
  fields: readonly string[],
  columns: readonly ArrayLike<number | null | undefined>[],
): string | undefined {
  return fields.find((_, i) => Array.from(columns[i] ?? []).some((value) => value != null));
}

/** One column of a CSV file with numbers and a heading, at full volume. A gap is silence. @param pieces the file's text */
export async function soundIn(
  pieces: AsyncIterable<string>,
  field: string,
  expected: number,
): Promise<Float32Array<ArrayBuffer>> {
  let samples = new Float32Array(Math.max(1, expected));
  let [rest, column, count, peak] = ['', -1, 0, 0];
  let isHeading = true;
  const add = (row: string) => {
    if (isHeading) {
      column = row.split(',').indexOf(field);
      isHeading = false;
      return;
    }
    if (column < 0 || row === '' || count >= mostSamples) return;
    if (count === samples.length) {
      const longer = new Float32Array(Math.min(mostSamples, 2 * count));
      longer.set(samples);
      samples = longer;
    }
    const value = Number.parseFloat(row.split(',', column + 1)[column] ?? '') || 0;
    samples[count++] = value;
    peak = Math.max(peak, Math.abs(value));
  };
  let began = performance.now();
  for await (const piece of pieces) {
    const rows = (rest + piece).split('\n');
    rest = rows.pop() ?? '';
    for (const row of rows) add(row);
    if (performance.now() - began < turnMs) continue;
    await new Promise((resolve) => setTimeout(resolve));
    began = performance.now();
  }
  if (rest !== '') add(rest);
  const own = samples.subarray(0, count);
  if (peak > 0) for (let i = 0; i < count; i++) own[i] = (own[i] ?? 0) / peak;
  return own;
}

/** The part of an AudioContext that makes buffers. Tests have no types of browsers. */
interface MakesBuffers<B> {
  sampleRate: number;
  createBuffer(channels: number, length: number, rate: number): B;
}

/** A buffer with samples. Samples at a rate that the browser rejects are converted to the rate of its output. */
export function bufferOf<
  B extends { copyToChannel(samples: Float32Array<ArrayBuffer>, channel: number): void },
>(context: MakesBuffers<B>, samples: Float32Array<ArrayBuffer>, rateHz: number): B {
  const fill = (own: Float32Array<ArrayBuffer>, rate: number) => {
    const buffer = context.createBuffer(1, Math.max(1, own.length), rate);
    buffer.copyToChannel(own, 0);
    return buffer;
  };
  try {
    return fill(samples, rateHz);
  } catch {
    return fill(resampled(samples, rateHz, context.sampleRate), context.sampleRate);
  }
}

/** Samples at another rate: means if it is lower, otherwise straight lines between the samples. */
export function resampled(
  samples: Float32Array<ArrayBuffer>,
  from: number,
  to: number,
): Float32Array<ArrayBuffer> {
  const ratio = from / to;
  const found = new Float32Array(Math.round(samples.length / ratio));
  for (let i = 0; i < found.length; i++) {
    const at = Math.min(Math.floor(i * ratio), samples.length - 1);
    if (ratio > 1) {
      const end = Math.min(Math.max(at + 1, Math.floor((i + 1) * ratio)), samples.length);
      let sum = 0;
      for (let each = at; each < end; each++) sum += samples[each] ?? 0;
      found[i] = sum / (end - at);
    } else {
      const [one = 0, other = one] = [samples[at], samples[at + 1]];
      found[i] = one + (other - one) * (i * ratio - at);
    }
  }
  return found;
}
