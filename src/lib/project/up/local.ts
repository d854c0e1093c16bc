import type { Platform } from '../../platform/index.js';
import { mqttSettings, parseStreamUrl, type StreamOpener } from '../../stream/index.js';

/** A place at the platform that is started in this process. */
export interface LocalPlace {
  /** Topic, or filter. */
  path: string;
  /** What tells readers of one filter apart: `iot` of `?group=iot`. */
  group: string;
  qos: 0 | 1 | 2;
  retain: boolean;
}

/** What an address names at the platform of this process: `aiot://stream/TOPIC`; null for any other. @throws AIOT_STREAM_URL */
export function localPlace(url: string): LocalPlace | null {
  const parts = parseStreamUrl(url);
  if (parts.scheme !== 'aiot' || !['', 'stream'].includes(parts.host)) return null;
  const { group = '', qos, retain = false } = mqttSettings(parts, {});
  return { path: parts.path || '#', group, qos, retain };
}

/** The reader's name, by which the platform waits for it. */
export function readerName(route: string, { path, group }: LocalPlace): string {
  return `${route} ${path} ${group}`;
}

/** Opens addresses of the platform in its own process, for one route. */
export function localOpener(streams: Platform['streams'], route: string): StreamOpener {
  return {
    source(url, { queue, overflow }) {
      const place = localPlace(url);
      if (!place) return undefined;
      return streams.openSource(place.path, { queue, overflow, name: readerName(route, place) });
    },
    sink(url) {
      const place = localPlace(url);
      if (!place) return undefined;
      const { path, qos, retain } = place;
      return streams.openSink(path, { qos, retain });
    },
  };
}
