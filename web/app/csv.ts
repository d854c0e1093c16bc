/** A name that every file system accepts: `imu of press-4, live` becomes `imu-of-press-4-live`. */
export function fileName(text: string): string {
  return text.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[.-]+|-+$/g, '') || 'plot';
}

/** Rows as CSV (RFC 4180). */
export function csvText(rows: readonly (readonly string[])[]): string {
  return `${rows.map((row) => row.map(quoted).join(',')).join('\r\n')}\r\n`;
}

/**
 * A field. Spreadsheets would run a text that begins like a formula, and devices choose some of these texts, so an apostrophe precedes it.
 * Numbers stay as they are.
 */
function quoted(text: string): string {
  const isFormula = /^[=+\-@\t\r]/.test(text) && !/^-\d[\d.e+-]*$/i.test(text);
  const safe = isFormula ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
