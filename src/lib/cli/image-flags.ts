import { Flags } from '@oclif/core';
import { flashSizeBytes, flashSizes } from '../formats/index.js';
import type { ImageRequest } from '../provision/index.js';

/** The port of a board that is meant, where a folder may be meant as well: none is chosen by itself. */
export const ownPort = Flags.string({
  summary: 'Serial port of its board: /dev/ttyUSB0, COM3, socket://HOST:PORT, rfc2217://HOST:PORT.',
  env: 'AIOT_PORT',
  helpValue: 'PORT',
});

/** Flags of commands that make the image of a device on a chip. */
export const imageFlags = {
  'wifi-ssid': Flags.string({
    summary: 'Name of the Wi-Fi network that the device joins.',
    env: 'AIOT_WIFI_SSID',
    helpValue: 'NAME',
  }),
  'wifi-password-file': Flags.string({
    summary: 'File with its password [default: the variable AIOT_WIFI_PASSWORD].',
    env: 'AIOT_WIFI_PASSWORD_FILE',
    helpValue: 'FILE',
  }),
  partitions: Flags.string({
    summary: 'Partition table, CSV [default: the board’s own, else that of docs/nvs.md].',
    env: 'AIOT_PARTITIONS',
    helpValue: 'FILE',
  }),
  'nvs-version': Flags.option({ options: ['1', '2'] as const, default: '2' as const })({
    summary: 'Format of the NVS pages; 1 for firmware before ESP-IDF 3.2.',
    env: 'AIOT_NVS_VERSION',
  }),
  'encrypt-nvs': Flags.boolean({
    summary: 'Encrypt NVS with keys made here, in a partition of their own.',
    env: 'AIOT_ENCRYPT_NVS',
  }),
  'flash-size': Flags.option({ options: flashSizes })({
    summary: 'Size of the flash [default: the board’s, else 4MB].',
    env: 'AIOT_FLASH_SIZE',
  }),
};

interface Given {
  'wifi-ssid': string | undefined;
  'wifi-password-file': string | undefined;
  partitions: string | undefined;
  'nvs-version': '1' | '2';
  'encrypt-nvs': boolean;
  'flash-size': (typeof flashSizes)[number] | undefined;
}

/** The same as the library takes it. The password may be in the environment, never on the command line. */
export function imageAsked(flags: Given): ImageRequest {
  const size = flags['flash-size'];
  return {
    ssid: flags['wifi-ssid'],
    passwordFile: flags['wifi-password-file'],
    password: process.env.AIOT_WIFI_PASSWORD,
    partitions: flags.partitions,
    nvsVersion: flags['nvs-version'] === '1' ? 1 : 2,
    encrypt: flags['encrypt-nvs'],
    ...(size === undefined ? {} : { flashBytes: flashSizeBytes(size) }),
  };
}
