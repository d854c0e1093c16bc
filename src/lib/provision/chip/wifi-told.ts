import { decryptNvs, readNvs, readNvsKeys } from '../../formats/index.js';
import type { OldNvs } from './keep.js';
import type { ChipOptions } from './options.js';

/** The network that an image has its device join, its password untold; null = none. */
export function wifiTold({ wifi, old }: Pick<ChipOptions, 'wifi' | 'old'>) {
  if (wifi) return { ssid: wifi.ssid, open: wifi.password === '' };
  return old ? wifiIn(old) : null;
}

/** As it stays in the NVS that a new certificate is put into. */
function wifiIn({ nvs, keys }: OldNvs): { ssid: string; open: boolean } | null {
  const { entries } = readNvs(keys === null ? nvs : decryptNvs(nvs, readNvsKeys(keys)));
  const text = (key: string): string => {
    const found = entries.find((entry) => entry.namespace === 'wifi' && entry.key === key);
    return found?.type === 'string' ? found.value : '';
  };
  const ssid = text('ssid');
  return ssid === '' ? null : { ssid, open: text('password') === '' };
}
