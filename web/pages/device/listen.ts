import type { DeviceMessage } from '../../../src/lib/api/index.js';

type Channel = 'telemetry' | 'inference' | 'reply' | 'log';

/**
 * Calls back with each message of these channels from the device from now on, across reconnections. Returns a function that unsubscribes.
 */
export function listen(
  device: string,
  channels: readonly Channel[],
  heard: (channel: Channel, message: DeviceMessage) => void,
): () => void {
  let source: EventSource | undefined;
  let ended = false;
  const open = () => {
    if (ended || document.hidden || source) return;
    const own = new EventSource(`/api/v1/devices/${encodeURIComponent(device)}/live`);
    source = own;
    for (const channel of channels) {
      own.addEventListener(channel, ({ data }: MessageEvent<string>) =>
        heard(channel, JSON.parse(data) as DeviceMessage),
      );
    }
    own.onerror = () => {
      if (own.readyState !== EventSource.CLOSED || source !== own) return;
      source = undefined;
      setTimeout(open, 2000);
    };
  };
  const close = () => {
    source?.close();
    source = undefined;
  };
  const turn = () => (document.hidden ? close() : open());
  document.addEventListener('visibilitychange', turn);
  open();
  return () => {
    ended = true;
    document.removeEventListener('visibilitychange', turn);
    close();
  };
}
