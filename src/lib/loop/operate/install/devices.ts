import { parseStreamUrl } from '../../../stream/index.js';

/** What of this machine a loop has to reach, in systemd's and Debian's names. */
export interface Devices {
  /** `DeviceAllow=`: a node, or a kind of them, which is also there when the device is plugged in later. */
  allow: string[];
  groups: string[];
  /** It writes below /sys. */
  kernelFiles: boolean;
}

interface Kind {
  allow: (place: string) => string[];
  group: string;
  kernelFiles?: true;
}

/** `i2c://1/CHIP` and `i2c://%2Fdev%2Fi2c-3/CHIP` */
const busNode = (place: string) => {
  const [bus = ''] = place.replace(/^\/\//, '').split(/[/?]/, 1);
  const path = decodeURIComponent(bus);
  return path.startsWith('/') ? path : `/dev/i2c-${path}`;
};

const kinds: Record<string, Kind> = {
  alsa: { allow: () => ['char-alsa'], group: 'audio' },
  camera: { allow: () => ['char-video4linux', 'char-media'], group: 'video' },
  gpio: { allow: (place) => [`/dev/${parseStreamUrl(`gpio:${place}`).host}`], group: 'gpio' },
  i2c: { allow: (place) => [busNode(place)], group: 'i2c' },
  iio: { allow: () => ['char-iio'], group: 'iio', kernelFiles: true },
  // By kind and not by name: an adapter that is plugged in again may have another number.
  serial: { allow: () => ['char-ttyUSB', 'char-ttyACM', 'char-ttyAMA', 'char-ttyS'], group: 'dialout' },
};

/** What the sensor, the outputs and the accelerator need; nothing for what comes over a network. */
export function devicesFor(urls: readonly string[], delegate?: string): Devices {
  const devices: Devices = { allow: [], groups: [], kernelFiles: false };
  const add = ({ allow, group, kernelFiles }: Kind, place: string) => {
    devices.allow.push(...allow(place));
    devices.groups.push(group);
    devices.kernelFiles ||= kernelFiles ?? false;
  };
  for (const url of urls) {
    const [, scheme = '', place = ''] = /^([a-z][\w+.-]*):(.*)$/is.exec(url) ?? [];
    const kind = Object.hasOwn(kinds, scheme.toLowerCase()) ? kinds[scheme.toLowerCase()] : undefined;
    // The simulated bus is in the process itself.
    if (kind && !place.startsWith('//sim/')) add(kind, place);
  }
  if (delegate === 'coral') {
    add({ allow: () => ['char-apex', 'char-usb_device'], group: 'plugdev' }, '');
  }
  return {
    allow: [...new Set(devices.allow)],
    groups: [...new Set(devices.groups)],
    kernelFiles: devices.kernelFiles,
  };
}
