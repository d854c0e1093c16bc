import { AiotError } from '../../core/errors.js';

/** Location of a recording on the platform. */
export interface RecordingPlace {
  stream: string;
  device: string;
  recording: string;
}

/** Parses `STREAM/DEVICE/RECORDING`, as in events; null if the number of parts differs. */
export function parseRecordingPlace(text: string): RecordingPlace | null {
  const [stream = '', device = '', ...rest] = text.split('/');
  const recording = rest.join('/');
  return stream && device && recording ? { stream, device, recording } : null;
}

/** Parses `STREAM/DEVICE/RECORDING`, or `STREAM/DEVICE` for all of the device's recordings in the stream. @throws AIOT_USAGE */
export function parseRecordings(text: string): { stream: string; device: string; recording?: string } {
  const place = parseRecordingPlace(text);
  if (place) return place;
  const [stream = '', device = '', ...rest] = text.split('/');
  if (stream && device && rest.length === 0) return { stream, device };
  throw new AiotError('AIOT_USAGE', `expected STREAM/DEVICE/RECORDING or STREAM/DEVICE, got ${text}`);
}
