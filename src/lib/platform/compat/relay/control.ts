/** Longest message that the guide's firmware takes: its MQTT library drops packets of more than 256 bytes, header and all. */
export const longestControl = 229;

/** As the guide writes it, down to the space before its colon. */
export function controlMessage(command: string, payload: string): Buffer {
  return Buffer.from(`{"command": ${JSON.stringify(command)}, "payload" : ${JSON.stringify(payload)}}`);
}

/** Whether boards survive it: they compare `command` with words without looking whether it is there. */
export function isControl(payload: Uint8Array): boolean {
  if (payload.length > longestControl) return false;
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as Record<
      string,
      unknown
    > | null;
    return typeof value?.command === 'string' && typeof value.payload === 'string';
  } catch {
    return false;
  }
}
