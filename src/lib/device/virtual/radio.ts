import type { DeviceLink } from '../link/mqtt.js';
import type { DeviceChannel } from '../protocol/topics.js';
import { deferred } from './deferred.js';

type Publish = DeviceLink['publish'];

/** The line to the broker as the rest of the device sees it: it may not be there yet, or be away for a reboot. */
export interface Radio {
  readonly link: DeviceLink | null;
  /** Waits for the line, then for the PUBACK. */
  publish: Publish;
  /** For what is only worth saying now: nothing without a line, and no error. */
  tell(channel: DeviceChannel, message: object, options?: { retain?: boolean }): void;
  attach(link: DeviceLink): void;
  /** The line is gone, and another may come. */
  detach(): void;
  /** There will be no other. */
  fail(error: unknown): void;
}

export function createRadio(): Radio {
  let link: DeviceLink | null = null;
  let linked = deferred<DeviceLink>();
  return {
    get link() {
      return link;
    },
    publish: async (...message) => (await linked.promise).publish(...message),
    tell(...message) {
      link?.publish(...message).catch(() => {});
    },
    attach(opened) {
      link = opened;
      linked.resolve(opened);
    },
    detach() {
      link = null;
      linked = deferred<DeviceLink>();
    },
    fail(error) {
      link = null;
      linked.reject(error);
      linked = deferred<DeviceLink>();
      linked.reject(error);
    },
  };
}
