/**
 * Bins of the three strongest local maxima, ascending; 0 where there are fewer. A plateau counts by its middle, and the
 * ends are no maxima (as SciPy's find_peaks has it).
 * @returns how many bins are as high as one of them: not three where the original gives up
 */
export function strongestPeaks(amplitude: Float64Array, out: Int32Array): number {
  out.fill(0);
  // Above half the rate all is 0.
  const end = Math.min(amplitude.length - 1, Math.ceil(amplitude.length / 2) + 2);
  let found = 0;
  for (let i = 1; i < end; ) {
    let last = i;
    while (last < amplitude.length - 1 && amplitude[last + 1] === amplitude[i]) last++;
    const isPeak =
      amplitude[i - 1]! < amplitude[i]! &&
      last < amplitude.length - 1 &&
      amplitude[last + 1]! < amplitude[i]!;
    if (isPeak) found = keepStrongest(amplitude, Math.floor((i + last) / 2), out, found);
    i = last + 1;
  }
  if (found < out.length) return found;
  out.sort();
  let equal = 0;
  for (let i = 0; i < amplitude.length; i++) {
    const a = amplitude[i]!;
    if (a === amplitude[out[0]!] || a === amplitude[out[1]!] || a === amplitude[out[2]!]) equal++;
  }
  return equal;
}

function keepStrongest(amplitude: Float64Array, peak: number, out: Int32Array, found: number): number {
  if (found < out.length) {
    out[found] = peak;
    return found + 1;
  }
  let weakest = 0;
  for (let k = 1; k < out.length; k++) {
    if (amplitude[out[k]!]! < amplitude[out[weakest]!]!) weakest = k;
  }
  if (amplitude[peak]! > amplitude[out[weakest]!]!) out[weakest] = peak;
  return found;
}
