/**
 * The value of an `*_available` attribute that is nearest above what is wanted, or the largest: a list (`12.5 26 52`), or
 * `[smallest step largest]`. As the attribute writes it.
 */
export function chooseAbove(available: string, wanted: number): string | undefined {
  const range = /^\[\s*(\S+)\s+(\S+)\s+(\S+)\s*\]$/.exec(available.trim());
  if (range) {
    const [least, step, most] = range.slice(1).map(Number) as [number, number, number];
    if (![least, step, most].every(Number.isFinite) || step <= 0) return undefined;
    const steps = Math.ceil((wanted - least) / step - 1e-9);
    return `${Math.min(most, least + Math.max(0, steps) * step)}`;
  }
  const choices = available
    .trim()
    .split(/\s+/)
    .filter((text) => text !== '' && Number.isFinite(Number(text)))
    .sort((a, b) => Number(a) - Number(b));
  // What is called 4 g may be 3.996 g, and 104 Hz 103.9.
  return choices.find((text) => Number(text) >= wanted * 0.99) ?? choices.at(-1);
}
