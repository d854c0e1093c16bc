/** A label's value in Prometheus' text format 0.0.4: a backslash, a quote and a newline are written with a backslash, nothing else is. */
export function labelValue(text: string): string {
  return text.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`));
}
