import { AiotError } from '../../core/index.js';
import { type NvsItem, type NvsVersion, nvsLongest, nvsNumbers } from './types.js';

/**
 * Refuses what NVS cannot hold: names of more than 15 bytes, numbers out of their range, values too long for the version.
 * @throws AIOT_NVS_UNFIT; messages never show a string or a blob, which may be a secret
 */
export function checkItem(item: NvsItem, version: NvsVersion): void {
  requireName('namespace', item.namespace);
  if (item.type === 'namespace') return;
  requireName('key', item.key);
  const name = `${item.namespace}.${item.key}`;
  if (item.type === 'string') {
    const text = item.raw ?? Buffer.from(item.value);
    if (text.includes(0)) throw unfit(`${name}: expected a string without a NUL in it`);
    requireLength(name, text.length + 1, nvsLongest[version].string, 'a string with its NUL', version);
  } else if (item.type === 'blob') {
    requireLength(name, item.value.length, nvsLongest[version].blob, 'a blob', version);
  } else {
    const { min, max } = nvsNumbers[item.type];
    const whole = typeof item.value === 'bigint' || Number.isInteger(item.value);
    if (whole && BigInt(item.value) >= min && BigInt(item.value) <= max) return;
    throw unfit(`${name}: expected a whole number from ${min} to ${max} for ${item.type}, got ${item.value}`);
  }
}

function requireName(what: string, name: string): void {
  const bytes = Buffer.byteLength(name);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what is refused
  const odd = /[\u0000-\u001f\u007f]/.test(name) || name.trim() !== name;
  if (bytes >= 1 && bytes <= 15 && !odd) return;
  const got = odd ? 'a blank at its edge or a control character' : `${bytes} bytes`;
  throw unfit(`expected the ${what} ${JSON.stringify(name)} to be 1 to 15 bytes of text, got ${got}`);
}

function requireLength(name: string, bytes: number, max: number, what: string, version: NvsVersion): void {
  if (bytes <= max) return;
  throw unfit(`${name}: expected at most ${max} bytes for ${what} (version ${version}), got ${bytes}`);
}

function unfit(what: string): AiotError {
  return new AiotError('AIOT_NVS_UNFIT', what);
}
