/**
 * A number as Python's `repr` writes a float, the text that goes over x, y and z: the shortest digits that come back as the same
 * number, always with a point or an exponent, the exponent from 1e16 on and below 1e-4 (Python's `float_repr_style`, "short").
 */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const size = Math.abs(value);
  if (size >= 1e16 || size < 1e-4) {
    const [digits = '', exponent = '0'] = value.toExponential().split('e');
    const power = Math.abs(Number(exponent)).toString().padStart(2, '0');
    return `${digits}e${exponent.startsWith('-') ? '-' : '+'}${power}`;
  }
  const text = String(value);
  return text.includes('.') ? text : `${text}.0`;
}

/** The inverse, of one line of ASCII; NaN for what is no finite number. */
export function floatOf(payload: Uint8Array): number {
  const text = Buffer.from(payload).toString('latin1').trim();
  return /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}
