import { addAbortSignal, type Readable } from 'node:stream';
import { AiotError, readBytes } from '../core/index.js';

/** Largest payload of an MQTT message (3.1.1, section 2.2.3), bytes. */
const largestBytes = 268_435_455;

/**
 * The payload that a user means: the text given, a file's bytes, or else what comes from `input`, to its end.
 * @throws AIOT_USAGE (both given, or nothing to read from), AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function payloadFrom(
  given: { message?: string; file?: string },
  signal?: AbortSignal,
  input: Readable & { isTTY?: boolean } = process.stdin,
): Promise<Uint8Array> {
  const { message, file } = given;
  if (message !== undefined && file !== undefined) {
    throw new AiotError('AIOT_USAGE', 'expected MESSAGE or --file, got both');
  }
  if (message !== undefined) return Buffer.from(message);
  if (file !== undefined) return limited(await readBytes(file), file);
  if (input.isTTY) throw new AiotError('AIOT_USAGE', 'expected MESSAGE, --file, or something on stdin');
  const chunks: Buffer[] = [];
  if (signal) addAbortSignal(signal, input);
  try {
    for await (const chunk of input) chunks.push(Buffer.from(chunk));
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
  return limited(Buffer.concat(chunks), 'stdin');
}

function limited(bytes: Buffer, where: string): Buffer {
  if (bytes.length <= largestBytes) return bytes;
  throw new AiotError(
    'AIOT_FILE_MALFORMED',
    `${where}: expected at most ${largestBytes} bytes, got ${bytes.length}`,
  );
}
