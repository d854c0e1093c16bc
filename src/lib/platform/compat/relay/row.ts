/** The first line of each file. */
export const csvHeader = 'deviceID,timeStamp,current,temperature,vibration,sound';
const fields = ['current', 'temperature', 'vibration', 'sound'] as const;

/**
 * A message of the guide's firmware as a line of its raw training data, without its end: a field that is missing is 0.0,
 * and a time that is missing is when it was read. Null: no JSON object with a device's id, or with what would not be one
 * line of six columns.
 * @param at ms since 1970
 */
export function csvLine(payload: Uint8Array, at: number): string | null {
  const message = objectOf(payload);
  if (!message) return null;
  const { deviceID, timeStamp = String(at) } = message;
  if (typeof deviceID !== 'string' || !isCell(deviceID)) return null;
  const time = typeof timeStamp === 'number' ? String(timeStamp) : timeStamp;
  if (typeof time !== 'string' || !isCell(time)) return null;
  const cells = fields.map((field) => message[field] ?? 0);
  if (!cells.every((cell) => typeof cell === 'number')) return null;
  return [deviceID, time, ...cells.map(oneDecimal)].join(',');
}

function objectOf(payload: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Whether it can stand in a line that nobody quotes. */
function isCell(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text !== '' && text.length <= 256 && !/[\x00-\x1f\x7f,"]/.test(text);
}

/** As C and Go print `%.1f`: halves go to the even digit, where toFixed takes the greater one. */
export function oneDecimal(value: number): string {
  if (Math.abs(value) >= 1e21) return `${BigInt(value)}.0`;
  // A half of a tenth is a binary fraction only where it is an odd number of quarters.
  if (Math.abs((value * 4) % 2) === 1) {
    const lower = Math.floor(value * 10);
    return ((lower % 2 === 0 ? lower : lower + 1) / 10).toFixed(1);
  }
  return `${Object.is(value, -0) ? '-' : ''}${value.toFixed(1)}`;
}
