/**
 * The label that a file's name tells: the longest of the known labels that it begins with, or its leading letters
 * (`walking12.csv` → walking). null when it begins with none.
 */
export function labelOfName(name: string, known: readonly string[] = []): string | null {
  const fits = known.filter((label) => name.startsWith(label) && !/^[A-Za-z]/.test(name.slice(label.length)));
  const [longest] = fits.sort((a, b) => b.length - a.length);
  return longest ?? /^[A-Za-z]+/.exec(name)?.[0] ?? null;
}
